/*
 * analyzer.h - told to clang-tidy only: the functions that fill an error return a negative number. The analyzer cannot see
 * that from one file, takes every failure for a possible success, and finds dozens of variables that were never set.
 */
#include "core/error.h"

#define error_set(...) (error_set(__VA_ARGS__), -1)
#define error_errno(...) (error_errno(__VA_ARGS__), -1)
#define error_hint(...) (error_hint(__VA_ARGS__), -1)
#define error_about(...) (error_about(__VA_ARGS__), -1)
