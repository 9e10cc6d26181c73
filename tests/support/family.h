/**
 * @file
 * The completions of a composition's children: walking them, and what must hold for them.
 */
#ifndef FERRY_TEST_FAMILY_H
#define FERRY_TEST_FAMILY_H

#include <ferry.h>

bool is_composition(uint16_t opcode);

/** The children of a composition; 0 for anything else, or if it never ran. */
size_t family_count(const ferry_completion *whole);
const ferry_completion *family_child(const ferry_completion *whole, size_t index);

/** Each child, those of children included, before the composition it belongs to. */
typedef void (*family_visitor)(const ferry_completion *child, void *argument);
void family_visit(const ferry_completion *whole, family_visitor visitor, void *argument);

/** What is wrong between a composition and its children, nested ones included; NULL = nothing. */
const char *family_fault(const ferry_completion *whole);

#endif
