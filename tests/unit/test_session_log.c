/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The fields of a session's line in the journal. */
#include "config.h"

#include "relay/session/session_log.h"

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "model/message_id.h"

static char line[2048], fields_text[4096];

void __wrap_log_event(enum log_level level, const struct log_field *fields, const char *format, ...);

void __wrap_log_event(enum log_level level, const struct log_field *fields, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    fields_text[0] = '\0';
    for (; fields->name; fields++)
        if (fields->value)
            snprintf(fields_text + strlen(fields_text), sizeof fields_text - strlen(fields_text), "%s=%s\n",
                     fields->name, fields->value);
    ck_assert_int_eq(level, LOG_LEVEL_INFO);
}

static void check_field(const char *field)
{
    ck_assert_msg(strstr(fields_text, field), "no %s in\n%s", field, fields_text);
}

START_TEST(a_session_has_all_that_one_may_ask_for)
{
    struct addr client, destination, proxy;
    addr_parse("10.0.0.1", 4242, &client);
    addr_parse("198.51.100.7", 443, &destination);
    addr_parse("192.0.2.7", 8081, &proxy);
    session_log_write(&(struct session_log){.id = 12,
                                            .client = &client,
                                            .destination = &destination,
                                            .proxy = &proxy,
                                            .status = "Connected (Secure Channel)",
                                            .server = "gw.example",
                                            .uid = "1000",
                                            .unit = "backup.service",
                                            .name = "www.example",
                                            .target = TARGET_NAME,
                                            .mode = ROUTE_SECURE,
                                            .up = 5,
                                            .down = 6,
                                            .seconds = 1.2345,
                                            .reason = REASON_PROXY_REFUSED,
                                            .cause = CAUSE_PROXY_REFUSED,
                                            .http_status = 403});
    ck_assert_msg(strncmp(line,
                          "session 12, 10.0.0.1:4242 of uid 1000 (backup.service) -> 198.51.100.7:443 (www.example)",
                          84) == 0,
                  "%s", line);
    check_field("MESSAGE_ID=" MESSAGE_ID_SESSION "\n");
    check_field("PENSTOCK_SESSION=12\n");
    check_field("PENSTOCK_STATUS=Connected (Secure Channel)\n");
    check_field("PENSTOCK_SERVER=gw.example\n");
    check_field("PENSTOCK_REASON=proxy-refused\n");
    check_field("PENSTOCK_CAUSE=proxy-refused\n");
    check_field("PENSTOCK_UID=1000\n");
    check_field("PENSTOCK_UNIT=backup.service\n");
    check_field("PENSTOCK_DURATION_MS=1234\n");
    check_field("PENSTOCK_HTTP_STATUS=403\n");
    check_field("PENSTOCK_ADDRESS=192.0.2.7:8081\n");
    check_field("PENSTOCK_ROUTE=secure\n");
}
END_TEST

START_TEST(what_is_not_known_has_no_field)
{
    struct addr client, destination, proxy = {0};
    addr_parse("10.0.0.1", 4242, &client);
    addr_parse("198.51.100.7", 443, &destination);
    session_log_write(&(struct session_log){.client = &client,
                                            .destination = &destination,
                                            .proxy = &proxy,
                                            .status = "Blocked - Testing",
                                            .server = "",
                                            .mode = ROUTE_CLOSED,
                                            .reason = REASON_BLOCKED});
    check_field("PENSTOCK_ROUTE=none\n");
    ck_assert_ptr_null(strstr(fields_text, "PENSTOCK_HTTP_STATUS="));
    ck_assert_ptr_null(strstr(fields_text, "PENSTOCK_ADDRESS="));
    ck_assert_ptr_null(strstr(fields_text, "PENSTOCK_SERVER="));
    ck_assert_ptr_null(strstr(fields_text, "PENSTOCK_UID="));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("session_log");
    TCase *tests = tcase_create("session_log");
    SRunner *runner;
    int failed;
    tcase_add_test(tests, a_session_has_all_that_one_may_ask_for);
    tcase_add_test(tests, what_is_not_known_has_no_field);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
