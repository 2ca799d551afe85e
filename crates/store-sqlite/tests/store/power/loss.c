/*
 * What a power cut would leave: a preloaded library that keeps, beside the files of one folder, a copy of each as of its
 * last sync. Whoever wants to know what is left after the cut kills the process and puts the copies in place.
 *
 * POWER_FILES   the folder that is watched
 * POWER_SYNCED  where the copies go: `data/INODE`, and `names` with a line `INODE NAME` for each file of the folder as
 *               of the folder's last sync
 * POWER_LIES    if set, the medium says that it has synced and has not
 *
 * It holds one lock over each write and each sync with its copying, so a copy is what the file was when it was synced.
 * It does not see what is written through a mapping: SQLite maps only its index, which is made anew after a crash.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR 4096
#define FILES_MAX 64
#define SECTORS_MAX (1 << 16) /* of one file: 256 MiB */

struct file {
    ino_t inode;
    unsigned char dirty[SECTORS_MAX];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct file *files[FILES_MAX];
static const char *watched, *synced;
static int lies;

static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static int (*real_ftruncate)(int, off_t);
static int (*real_fsync)(int);

static void fail(const char *what) {
    perror(what);
    abort();
}

/* Whether the descriptor is of a file in the watched folder, or of that folder itself. */
static int is_watched(int fd, int folder) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (!watched || length < 0) return 0;
    path[length] = 0;
    size_t prefix = strlen(watched);
    if (strncmp(path, watched, prefix) != 0) return 0;
    return folder ? path[prefix] == 0 : path[prefix] == '/';
}

static struct file *file_of(ino_t inode) {
    for (int at = 0; at < FILES_MAX; at++) {
        if (!files[at]) {
            files[at] = calloc(1, sizeof **files);
            if (!files[at]) fail("calloc");
            files[at]->inode = inode;
        }
        if (files[at]->inode == inode) return files[at];
    }
    fprintf(stderr, "more than %d files\n", FILES_MAX);
    abort();
}

static void soil(int fd, off_t from, off_t to) {
    struct stat status;
    if (!is_watched(fd, 0) || fstat(fd, &status) != 0) return;
    struct file *file = file_of(status.st_ino);
    for (off_t sector = from / SECTOR; sector * SECTOR < to; sector++) {
        if (sector >= SECTORS_MAX) fail("a file is larger than the test thinks of");
        file->dirty[sector] = 1;
    }
}

static int copy_of(ino_t inode) {
    char path[4096];
    snprintf(path, sizeof path, "%s/data/%lu", synced, (unsigned long)inode);
    int copy = open(path, O_RDWR | O_CREAT, 0600);
    if (copy < 0) fail(path);
    return copy;
}

/* The copy becomes what the file is now. */
static void take(int fd, struct file *file, off_t size) {
    char sector[SECTOR];
    int copy = copy_of(file->inode);
    if (real_ftruncate(copy, size) != 0) fail("ftruncate");
    for (off_t at = 0; at < SECTORS_MAX; at++) {
        if (!file->dirty[at]) continue;
        file->dirty[at] = 0;
        ssize_t length = at * SECTOR < size ? pread(fd, sector, SECTOR, at * SECTOR) : 0;
        if (length < 0 || real_pwrite(copy, sector, length, at * SECTOR) != length) fail("copying");
    }
    close(copy);
}

/* The names that the folder has now are there after a cut. */
static void take_names(void) {
    char path[4096], next[4096], line[4096];
    snprintf(path, sizeof path, "%s/names", synced);
    snprintf(next, sizeof next, "%s/names.next", synced);
    int names = open(next, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    DIR *folder = opendir(watched);
    if (names < 0 || !folder) fail(next);
    for (struct dirent *entry; (entry = readdir(folder));) {
        if (entry->d_type != DT_REG) continue;
        int length = snprintf(line, sizeof line, "%lu %s\n", (unsigned long)entry->d_ino, entry->d_name);
        if (real_write(names, line, length) != length) fail("writing names");
    }
    closedir(folder);
    close(names);
    if (rename(next, path) != 0) fail(path);
}

/* All that is there at the beginning is on the medium. */
__attribute__((constructor)) static void begin(void) {
    real_write = dlsym(RTLD_NEXT, "write");
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
    real_fsync = dlsym(RTLD_NEXT, "fdatasync");
    synced = getenv("POWER_SYNCED");
    lies = getenv("POWER_LIES") != NULL;
    const char *folder = getenv("POWER_FILES");
    if (!folder || !synced) return;
    watched = realpath(folder, NULL);
    DIR *opened = opendir(folder);
    if (!watched || !opened) fail(folder);
    for (struct dirent *entry; (entry = readdir(opened));) {
        struct stat status;
        if (entry->d_type != DT_REG) continue;
        int fd = openat(dirfd(opened), entry->d_name, O_RDONLY);
        if (fd < 0 || fstat(fd, &status) != 0) fail(entry->d_name);
        soil(fd, 0, status.st_size);
        take(fd, file_of(status.st_ino), status.st_size);
        close(fd);
    }
    closedir(opened);
    take_names();
}

ssize_t write(int fd, const void *bytes, size_t count) {
    pthread_mutex_lock(&lock);
    off_t at = lseek(fd, 0, SEEK_CUR);
    ssize_t written = real_write(fd, bytes, count);
    if (at >= 0 && written > 0) soil(fd, at, at + written);
    pthread_mutex_unlock(&lock);
    return written;
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off_t at) {
    pthread_mutex_lock(&lock);
    ssize_t written = real_pwrite(fd, bytes, count, at);
    if (written > 0) soil(fd, at, at + written);
    pthread_mutex_unlock(&lock);
    return written;
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) { return pwrite64(fd, bytes, count, at); }

int ftruncate64(int fd, off_t size) {
    struct stat before;
    pthread_mutex_lock(&lock);
    int known = fstat(fd, &before) == 0;
    int result = real_ftruncate(fd, size);
    /* What was cut off reads as zeros, should the file grow again. */
    if (result == 0 && known && size < before.st_size) soil(fd, size, before.st_size);
    pthread_mutex_unlock(&lock);
    return result;
}

int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

/* Nothing here is ever cut by real, so no real sync is waited for. */
static int sync_file(int fd) {
    struct stat status;
    int file = is_watched(fd, 0), folder = is_watched(fd, 1);
    if (!file && !folder) return real_fsync(fd);
    if (lies) return 0;
    pthread_mutex_lock(&lock);
    if (folder) {
        take_names();
    } else if (fstat(fd, &status) == 0) {
        take(fd, file_of(status.st_ino), status.st_size);
    }
    pthread_mutex_unlock(&lock);
    return 0;
}

int fsync(int fd) { return sync_file(fd); }

int fdatasync(int fd) { return sync_file(fd); }
