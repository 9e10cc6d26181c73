#include "every_function.c"
