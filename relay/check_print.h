/* relay/check_print.h - what `strictpost check` and `strictpost explain DOMAIN` found, for people: the JSON of relay/check.h and relay/plan_tell.h as lines on standard output,
 * in colour where that is a terminal. Peer text goes through terminal_fit(). */
#ifndef RELAY_CHECK_PRINT_H
#define RELAY_CHECK_PRINT_H

#include <jansson.h>

/* One line: a name in the left column ("" goes on with the one above), and text; what is behind it in lines of its own stands under it. */
void check_print_line(const char *label, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void check_print_plan(const json_t *plan, const json_t *sessions);      /* policy, route, rule, hosts, with what their sessions showed (null: none) */
void check_print(const json_t *told);                                  /* all of a check */
/* "would be delivered to mx1.example.com (sts/enforce)", of a "prediction". Lent until the next call. */
const char *check_print_prediction(const json_t *prediction);

#endif
