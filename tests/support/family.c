#include "family.h"

bool is_composition(uint16_t opcode) {
    return opcode >= FERRY_OP_CHAIN && opcode <= FERRY_OP_RETRY;
}

size_t family_count(const ferry_completion *whole) {
    return is_composition(whole->opcode) && whole->data != NULL
               ? (size_t)whole->result / sizeof(ferry_completion)
               : 0;
}

const ferry_completion *family_child(const ferry_completion *whole, size_t index) {
    return (const ferry_completion *)whole->data + index;
}

void family_visit(const ferry_completion *whole, family_visitor visitor, void *argument) {
    for (size_t i = 0; i < family_count(whole); i++) {
        family_visit(family_child(whole, i), visitor, argument);
        visitor(family_child(whole, i), argument);
    }
}

static bool cut_short(ferry_status status) {
    return status == FERRY_E_CANCELED || status == FERRY_E_TIMED_OUT || status == FERRY_E_SHUTDOWN;
}

static const char *chain_fault(const ferry_completion *whole) {
    size_t count = family_count(whole);
    size_t ended = 0;
    while (ended < count && family_child(whole, ended)->status == FERRY_OK) {
        ended++;
    }
    if (whole->status == FERRY_OK) {
        return ended == count ? NULL : "a chain succeeded without all of its children";
    }
    if (ended < count && family_child(whole, ended)->status != whole->status &&
        !cut_short(whole->status)) {
        return "a chain failed, but not as its child did";
    }
    for (size_t i = ended + 1; i < count; i++) {
        if (family_child(whole, i)->status != FERRY_E_CANCELED) {
            return "a chain went on after a failure";
        }
    }
    return NULL;
}

static const char *all_fault(const ferry_completion *whole) {
    for (size_t i = 0; i < family_count(whole); i++) {
        ferry_status status = family_child(whole, i)->status;
        if (status != FERRY_OK) {
            return whole->status == status || cut_short(whole->status)
                       ? NULL
                       : "all failed, but not as the first child that did";
        }
    }
    return whole->status == FERRY_OK ? NULL : "all failed, but no child did";
}

static const char *race_fault(const ferry_completion *whole) {
    size_t winners = 0;
    for (size_t i = 0; i < family_count(whole); i++) {
        const ferry_completion *child = family_child(whole, i);
        if ((child->flags & FERRY_WINNER) == 0) {
            continue;
        }
        winners++;
        if (child->status != whole->status ||
            (whole->handle != FERRY_NONE && child->handle != whole->handle)) {
            return "a race did not end as its winner did";
        }
    }
    return winners == 1 ? NULL : "a race without exactly one winner";
}

static const char *retry_fault(const ferry_completion *whole) {
    if (family_count(whole) != 1) {
        return "a retry with other than one child";
    }
    return family_child(whole, 0)->status == whole->status || cut_short(whole->status)
               ? NULL
               : "a retry did not end as its last attempt did";
}

static const char *own_fault(const ferry_completion *whole) {
    switch (whole->opcode) {
    case FERRY_OP_CHAIN:
        return chain_fault(whole);
    case FERRY_OP_ALL:
        return all_fault(whole);
    case FERRY_OP_RACE:
        return race_fault(whole);
    default:
        return retry_fault(whole);
    }
}

const char *family_fault(const ferry_completion *whole) {
    size_t count = family_count(whole);
    if (count == 0) {
        return is_composition(whole->opcode) && whole->status == FERRY_OK
                   ? "a composition succeeded without children"
                   : NULL;
    }
    const char *fault = own_fault(whole);
    for (size_t i = 0; i < count && fault == NULL; i++) {
        const ferry_completion *child = family_child(whole, i);
        if (child->op != FERRY_NONE || (child->flags & FERRY_MORE) != 0) {
            return "a child with an op id, or with more to come";
        }
        fault = family_fault(child);
    }
    return fault;
}
