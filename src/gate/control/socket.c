/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/control/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define PATH_LENGTH_MAX ((int)(sizeof(((struct sockaddr_un *)NULL)->sun_path) - sizeof(".new")))

static int fail(char ret_error[static CONTROL_ERROR_MAX], int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Returns -error. */
static int fail(char ret_error[static CONTROL_ERROR_MAX], int error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(ret_error, CONTROL_ERROR_MAX, format, args);
    va_end(args);
    return -error;
}

int control_make_directory(const char *path, uid_t uid, gid_t gid, char ret_error[static CONTROL_ERROR_MAX])
{
    char directory[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
    const char *slash = strrchr(path, '/');
    bool made;
    int fd, r = 0;
    if (!slash || slash == path)
        return 0;
    if ((size_t)(slash - path) >= sizeof directory)
        return fail(ret_error, ENAMETOOLONG, "control socket %s: the path is too long", path);
    memcpy(directory, path, (size_t)(slash - path));
    directory[slash - path] = '\0';

    made = mkdir(directory, 0755) == 0;
    if (!made && errno != EEXIST)
        return fail(ret_error, errno, "cannot make %s for the control socket: %s", directory, strerror(errno));
    if (!made && strcmp(path, CONTROL_DEFAULT_PATH) != 0)
        return 0;
    /* By descriptor: no symbolic link can lead the change of owner elsewhere. */
    fd = open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fchown(fd, uid, gid) < 0 || fchmod(fd, 0755) < 0)
        r = fail(ret_error, errno, "cannot give %s to the user of penstockd: %s", directory, strerror(errno));
    if (fd >= 0)
        close(fd);
    return r;
}

/* 0 when path is free or the left-over of a daemon that is gone. */
static int check_free(const struct sockaddr_un *address, char ret_error[static CONTROL_ERROR_MAX])
{
    struct stat st;
    int fd, error;
    if (lstat(address->sun_path, &st) < 0)
        return errno == ENOENT ? 0 : fail(ret_error, errno, "%s: %s", address->sun_path, strerror(errno));
    if (!S_ISSOCK(st.st_mode))
        return fail(ret_error, EEXIST, "%s is in the way and is not a socket", address->sun_path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return fail(ret_error, errno, "control socket: %s", strerror(errno));
    error = connect(fd, (const struct sockaddr *)address, sizeof *address) == 0 ? 0 : errno;
    close(fd);
    if (error == ECONNREFUSED || error == ENOENT)
        return 0;
    if (error == 0 || error == EAGAIN)
        return fail(ret_error, EADDRINUSE, "another penstockd is running (it answers on %s)", address->sun_path);
    return fail(ret_error, error, "%s: %s", address->sun_path, strerror(error));
}

/* Bound under another name and renamed, so that at no time a socket is there that does not answer. */
static int bind_at(int fd, const struct sockaddr_un *address, int backlog, struct stat *ret_stat)
{
    struct sockaddr_un temporary = {.sun_family = AF_UNIX};
    mode_t mask;
    int r;
    snprintf(temporary.sun_path, sizeof temporary.sun_path, "%.*s.new", PATH_LENGTH_MAX, address->sun_path);
    unlink(temporary.sun_path);
    mask = umask(0111); /* everybody may ask for the status */
    r = bind(fd, (const struct sockaddr *)&temporary, sizeof temporary) < 0 ? -errno : 0;
    umask(mask);
    if (r < 0)
        return r;
    if (listen(fd, backlog) < 0 || stat(temporary.sun_path, ret_stat) < 0 ||
        rename(temporary.sun_path, address->sun_path) < 0) {
        r = -errno;
        unlink(temporary.sun_path);
    }
    return r;
}

int control_socket_open(struct control_socket *ret_socket, const char *path, int backlog,
                        char ret_error[static CONTROL_ERROR_MAX])
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat st;
    int fd, r;
    if (strlen(path) > PATH_LENGTH_MAX)
        return fail(ret_error, ENAMETOOLONG, "control socket %s: the path is too long", path);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    r = check_free(&address, ret_error);
    if (r < 0)
        return r;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return fail(ret_error, errno, "control socket: %s", strerror(errno));
    r = bind_at(fd, &address, backlog, &st);
    if (r < 0) {
        close(fd);
        return fail(ret_error, -r, "control socket %s: %s", path, strerror(-r));
    }
    *ret_socket = (struct control_socket){.fd = fd, .device = st.st_dev, .inode = st.st_ino};
    snprintf(ret_socket->path, sizeof ret_socket->path, "%s", path);
    return 0;
}

void control_socket_close(struct control_socket *control)
{
    struct stat st;
    if (stat(control->path, &st) == 0 && st.st_dev == control->device && st.st_ino == control->inode)
        unlink(control->path);
    close(control->fd);
}
