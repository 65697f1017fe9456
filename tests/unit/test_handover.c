/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A configuration and its files there and back, also when nothing can be opened at the other end. */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/handover.h"
#include "model/conf/files.h"

static char directory[] = "/tmp/test_handover.XXXXXX";

static const char *in_directory(const char *name)
{
    static char paths[8][128];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

static void write_file(const char *name, const void *bytes, size_t size)
{
    FILE *stream = fopen(in_directory(name), "w");
    ck_assert_ptr_nonnull(stream);
    ck_assert_uint_eq(fwrite(bytes, 1, size, stream), size);
    ck_assert_int_eq(fclose(stream), 0);
}

static void setup(void)
{
    strcpy(strrchr(directory, '.') + 1, "XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_int_eq(mkdir(in_directory("cas"), 0700), 0);
    write_file("cas/one", "first", 5);
    write_file("cas/two", "", 0);
    write_file("cas/.hidden", "no", 2);
    write_file("client.pem", "certi\0ficate", 12);
    write_file("client.key", "secret", 6);
}

static void remove_all(void)
{
    static const char *const names[] = {"cas/one", "cas/two", "cas/.hidden", "client.pem", "client.key", "large"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        unlink(in_directory(names[i]));
    rmdir(in_directory("cas"));
    rmdir(directory);
}

static void fail_conf(const char *text, void *data)
{
    ck_abort_msg("%s", text);
}

static struct conf *make_conf(const char *more)
{
    char text[1024];
    struct conf *conf = NULL;
    FILE *stream;
    snprintf(
        text, sizeof text,
        "[Proxy]\nServers=192.0.2.1\nSecurePort=8081\n[SecureChannel]\nTrustedCA=%s\nTrustedCA=%s\nCertificate=%s\n%s",
        in_directory("cas"), in_directory("none.pem"), in_directory("client.pem"), more);
    stream = fmemopen(text, strlen(text), "r");
    ck_assert_int_eq(conf_read(stream, "test", fail_conf, NULL, &conf), 0);
    fclose(stream);
    return conf;
}

/* What the other end sees, when all files are gone. */
static struct conf *there_and_back(struct conf *conf)
{
    char error[DETAIL_MAX];
    struct conf *back;
    int fd = -1;
    ck_assert_int_eq(handover_write(conf, &fd), 0);
    ck_assert_int_lt((int)write(fd, "x", 1), 0); /* sealed */
    conf_free(conf);
    remove_all();
    back = handover_read(fd, error);
    ck_assert_msg(back, "%s", error);
    return back;
}

static void check_file(const struct conf *conf, const char *path, const void *bytes, size_t size)
{
    const struct conf_file *file = conf_files_find(conf->files, path);
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(file->error, 0);
    ck_assert_uint_eq(file->size, size);
    if (size > 0)
        ck_assert_mem_eq(file->data, bytes, size);
    ck_assert_int_eq(file->data[size], 0);
}

START_TEST(files_arrive_with_the_configuration)
{
    char key[256];
    struct conf *conf;
    snprintf(key, sizeof key, "PrivateKey=%s\n", in_directory("client.key"));
    conf = there_and_back(make_conf(key));
    ck_assert_str_eq(conf->certificate, in_directory("client.pem"));
    check_file(conf, in_directory("client.pem"), "certi\0ficate", 12);
    check_file(conf, in_directory("client.key"), "secret", 6);
    ck_assert_uint_eq(conf_files_reader(conf->files), geteuid());
    conf_drop_files(conf);
    ck_assert_ptr_null(conf->files);
    conf_free(conf);
}
END_TEST

START_TEST(what_specifiers_say_of_the_host_arrives_too)
{
    char name[CONF_HOST_NAME_SIZE], id[64] = "";
    FILE *file = fopen("/etc/machine-id", "r");
    struct conf *conf = there_and_back(make_conf(""));
    ck_assert_int_eq(gethostname(name, sizeof name), 0);
    ck_assert_str_eq(conf->host_name, name);
    if (file && fgets(id, sizeof id, file))
        id[strcspn(id, "\n")] = '\0';
    if (file)
        fclose(file);
    ck_assert_str_eq(conf->machine_id, strlen(id) == CONF_MACHINE_ID_SIZE - 1 ? id : "");
    conf_free(conf);
}
END_TEST

START_TEST(a_directory_arrives_with_its_files)
{
    struct conf *conf = there_and_back(make_conf(""));
    const struct conf_file *file;
    unsigned seen = 0;
    ck_assert_int_eq(conf_files_find(conf->files, in_directory("cas"))->error, -EISDIR);
    for (size_t at = 0; (file = conf_files_in(conf->files, in_directory("cas"), &at)); seen++)
        ck_assert_msg(strstr(file->path, "/cas/one") || strstr(file->path, "/cas/two"), "%s", file->path);
    ck_assert_uint_eq(seen, 2);
    check_file(conf, in_directory("cas/one"), "first", 5);
    check_file(conf, in_directory("cas/two"), "", 0);
    conf_free(conf);
}
END_TEST

START_TEST(what_cannot_be_read_arrives_as_that)
{
    char key[256];
    struct conf *conf;
    int fd = open(in_directory("large"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_eq(ftruncate(fd, CONF_FILE_MAX + 1), 0);
    close(fd);
    snprintf(key, sizeof key, "PrivateKey=%s\n", in_directory("large"));
    conf = there_and_back(make_conf(key));
    ck_assert_int_eq(conf_files_find(conf->files, in_directory("none.pem"))->error, -ENOENT);
    ck_assert_int_eq(conf_files_find(conf->files, in_directory("large"))->error, -EFBIG);
    ck_assert_ptr_null(conf_files_find(conf->files, "/etc/hostname"));
    conf_free(conf);
}
END_TEST

START_TEST(without_a_channel_no_file_is_read)
{
    struct conf *conf = there_and_back(make_conf("Enabled=no\n[Proxy]\nPort=8080\n"));
    ck_assert_ptr_null(conf->files);
    conf_free(conf);
}
END_TEST

/* Cut off anywhere: no configuration, never half of one. */
START_TEST(what_is_cut_off_is_refused)
{
    struct conf *conf = make_conf("");
    char error[DETAIL_MAX], *bytes;
    int whole = -1;
    ck_assert_int_eq(handover_write(conf, &whole), 0);
    off_t size = lseek(whole, 0, SEEK_END);
    ck_assert_ptr_nonnull(bytes = malloc((size_t)size));
    ck_assert_int_eq(pread(whole, bytes, (size_t)size, 0), size);
    for (off_t cut = (off_t)strnlen(bytes, (size_t)size) - 3; cut < size; cut++) {
        int fd = memfd_create("cut", MFD_CLOEXEC);
        struct conf *got;
        ck_assert_int_eq(write(fd, bytes, (size_t)cut), cut);
        got = handover_read(fd, error);
        if (got)                                                               /* between two files */
            ck_assert_ptr_null(conf_files_find(got->files, got->private_key)); /* the last of all */
        else
            ck_assert_str_ne(error, "");
        conf_free(got);
    }
    free(bytes);
    close(whole);
    conf_free(conf);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("handover");
    TCase *tests = tcase_create("handover");
    SRunner *runner;
    int failed;
    tcase_add_checked_fixture(tests, setup, remove_all);
    tcase_add_test(tests, files_arrive_with_the_configuration);
    tcase_add_test(tests, what_specifiers_say_of_the_host_arrives_too);
    tcase_add_test(tests, a_directory_arrives_with_its_files);
    tcase_add_test(tests, what_cannot_be_read_arrives_as_that);
    tcase_add_test(tests, without_a_channel_no_file_is_read);
    tcase_add_test(tests, what_is_cut_off_is_refused);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
