/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "base/sealed.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int sealed_create(const char *name, size_t size, int *ret_fd, void **ret_memory)
{
    int result;
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    if (ftruncate(fd, (off_t)size) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        result = -errno;
    else
        result = sealed_map(fd, size, ret_memory);
    if (result < 0) {
        close(fd);
        return result;
    }
    *ret_fd = fd;
    return 0;
}

int sealed_map(int fd, size_t size, void **ret_memory)
{
    struct stat st;
    void *memory;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (st.st_size != (off_t)size)
        return -EINVAL;
    memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return -errno;
    *ret_memory = memory;
    return 0;
}

void sealed_unmap(void *memory, size_t size)
{
    if (memory)
        munmap(memory, size);
}
