/**
 * @file
 * Who owns a descriptor that went into an engine or came out of it.
 *
 * What an engine refused to adopt is still the host's, and so is what it released: both are closed
 * here, when the completion is seen. Completions that nobody sees leave their descriptors open; they
 * are closed at the end, and there may be no more of them than such completions.
 */
#ifndef FERRY_FUZZ_LEDGER_H
#define FERRY_FUZZ_LEDGER_H

#include "opcodes.h"

enum { LEDGER_PLACES = 4096 };

typedef struct ledger {
    bool open_before[LEDGER_PLACES];
    atomic_llong unseen; /* Adoptions and releases that were accepted and not seen to end. */
} ledger;

/** Begin: what is open now is nobody's business. */
void ledger_open(ledger *l);

/** A request was accepted; any thread, also after its completion was seen. */
void ledger_accepted(ledger *l, const hostile_request *made);

/** A completion was seen, and, unless it is blind, its children's; any thread. */
void ledger_completed(ledger *l, const ferry_completion *completion, bool blind);

/** The engine is gone: close what is left. False if that is more than may be. */
bool ledger_close(ledger *l);

#endif
