/* Calls that use no file: they fail, or what they open is no file. A log of
   any of them lists nothing. */
#include "probe.h"
#include <dirent.h>
#include <linux/fs.h>
#include <sys/resource.h>
#include <sys/un.h>

static void only_looked_at(void) {
	struct stat st;
	check(stat("a", &st) == 0 && access("a", R_OK) == 0 && chmod("a", 0644) == 0, "stat");
	DIR *dir = opendir("d");
	check(dir != NULL && readdir(dir) != NULL, "opendir");
}

static void missing(void) {
	refused(open("missing", O_RDONLY), ENOENT, "missing");
	refused(open("missing", O_WRONLY), ENOENT, "missing");
	refused(open("missing/x", OUT, 0600), ENOENT, "missing/x");
	refused(open("a/x", OUT, 0600), ENOTDIR, "a/x");
	refused(open("", O_RDONLY), ENOENT, "no name");
	refused(open((char *)1, O_RDONLY), EFAULT, "no memory");
}

static void directory(void) {
	check(open("d", O_RDONLY) >= 0, "d");
	refused(open("d", O_RDWR), EISDIR, "d");
	refused(open("d", OUT, 0600), EISDIR, "d");
	refused(open("new/", OUT, 0600), EISDIR, "new/");
	refused(open("a/", O_RDONLY), ENOTDIR, "a/");
	refused(open("a", O_RDONLY | O_DIRECTORY), ENOTDIR, "a");
}

static void link_loop(void) {
	check(symlink("l2", "l1") == 0 && symlink("l1", "l2") == 0 && symlink("a", "l") == 0, "symlink");
	refused(open("l1", O_RDONLY), ELOOP, "l1");
	refused(open("l1", OUT, 0600), ELOOP, "l1");
	refused(open("l", O_RDONLY | O_NOFOLLOW), ELOOP, "l");
}

static void existing(void) {
	refused(open("a", NEW, 0600), EEXIST, "a");
	check(symlink("new", "l") == 0, "symlink");
	refused(open("l", NEW, 0600), EEXIST, "l");
}

/* No descriptor is left. */
static void no_descriptors(void) {
	struct rlimit limit = { 3, 3 };
	check(setrlimit(RLIMIT_NOFILE, &limit) == 0, "setrlimit");
	refused(open("a", O_RDONLY), EMFILE, "a");
	refused(open("b", O_RDWR), EMFILE, "b");
	refused(open("c", O_WRONLY | O_TRUNC), EMFILE, "c");
	refused(open("new", OUT, 0600), EMFILE, "new");
}

/* Nobody may read what only its owner may. */
static void no_rights(void) {
	if (geteuid() == 0) check(setgid(65534) == 0 && setuid(65534) == 0, "setuid");
	else check(chmod("a", 0) == 0, "chmod");
	refused(open("a", O_RDONLY), EACCES, "a");
	refused(open("a", O_RDWR), EACCES, "a");
	refused(open("a", O_WRONLY | O_TRUNC), EACCES, "a");
	refused(truncate("a", 0), EACCES, "a");
}

static void nonsense(void) {
	struct open_how how = { .flags = O_RDONLY, .mode = 0600 };
	if (syscall(SYS_openat2, AT_FDCWD, ".", &(struct open_how){ .flags = O_PATH }, sizeof how) < 0 && errno == ENOSYS) cannot("openat2");
	refused(syscall(SYS_openat2, AT_FDCWD, "a", &how, sizeof how), EINVAL, "mode without O_CREAT");
	how.mode = 0, how.resolve = 1ULL << 40;
	refused(syscall(SYS_openat2, AT_FDCWD, "a", &how, sizeof how), EINVAL, "unknown resolution");
	refused(syscall(SYS_openat2, AT_FDCWD, "a", &how, 8), EINVAL, "too short");
	refused(truncate("a", -1), EINVAL, "negative length");
}

static void too_long(void) {
	char name[PATH_MAX + 2];
	memset(name, 'n', sizeof name);
	name[256] = 0;
	refused(open(name, OUT, 0600), ENAMETOOLONG, "256 bytes");
	for (int i = 0; i < PATH_MAX; i += 2) memcpy(name + i, "./", 2);
	strcpy(name + PATH_MAX - 1, "a");
	refused(open(name, O_RDONLY), ENAMETOOLONG, "4096 bytes");
}

static void fifo(void) {
	check(mkfifo("f", 0600) == 0, "mkfifo");
	put(open("f", O_RDWR), "f");
	check(open("f", O_RDWR | O_CREAT | O_TRUNC, 0600) >= 0, "f");
}

static void device(void) {
	get(open("/dev/zero", O_RDONLY), "/dev/zero");
	put(open("/dev/null", OUT | O_TRUNC, 0600), "/dev/null");
	if (geteuid() == 0 && mknod("null", S_IFCHR | 0600, 1 << 8 | 3) == 0) {
		int fd = open("null", O_WRONLY);
		if (fd >= 0) put(fd, "null");
	}
}

static void named_socket(void) {
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "s" };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	check(bind(fd, (struct sockaddr *)&address, sizeof address) == 0, "bind");
	refused(open("s", O_RDWR), ENXIO, "s");
}

static void kernel_window(void) {
	read_file("/proc/self/status");
	read_file("/proc/version");
	read_file("/sys/kernel/mm/transparent_hugepage/enabled");
	put(open("/proc/self/comm", O_WRONLY | O_TRUNC), "comm");
	check(open("/proc/self/mem", O_RDWR) >= 0, "mem");
	check(chdir("/proc/self") == 0, "chdir");
	read_file("status");
}

static void memory(void) {
	int fd = memfd_create("memory", 0);
	put(open(own_fd(fd), O_WRONLY), "memfd");
	get(fd, "memfd");
}

static void rename_refused(void) {
	refused(rename("a", "missing/a"), ENOENT, "missing/a");
	refused(rename("missing", "b"), ENOENT, "missing");
	refused(rename("a", "d"), EISDIR, "d");
	refused(rename("d", "a"), ENOTDIR, "a");
	refused(rename("d", "d/e"), EINVAL, "d/e");
	refused(rename("a", "/dev/shm/a"), EXDEV, "/dev/shm/a");
	refused(syscall(SYS_renameat2, AT_FDCWD, "a", AT_FDCWD, "missing", RENAME_EXCHANGE), ENOENT, "exchange");
	check(rename("c", "c2") == 0, "two names of one file");
}

static void link_refused(void) {
	refused(link("a", "b"), EEXIST, "b");
	refused(link("d", "e"), EPERM, "d");
	refused(link("missing", "e"), ENOENT, "missing");
	refused(link("a", "/dev/shm/a"), EXDEV, "/dev/shm/a");
}

static void remove_refused(void) {
	refused(unlink("d"), EISDIR, "d");
	refused(unlink("a/"), ENOTDIR, "a/");
	refused(unlinkat(AT_FDCWD, "a", AT_REMOVEDIR), ENOTDIR, "a");
	refused(rmdir("d"), ENOTEMPTY, "d");
}

static void execution_refused(void) {
	char *argv[] = { "a", NULL };
	refused(execv("a", argv), EACCES, "a");
	refused(execv("d", argv), EACCES, "d");
	refused(execv("missing", argv), ENOENT, "missing");
	check(chmod("b", 0700) == 0, "chmod");
	refused(execv("b", argv), ENOEXEC, "b");
}

static const struct probe cases[] = {
	CASE(only_looked_at), CASE(missing), CASE(directory), CASE(link_loop), CASE(existing), CASE(no_descriptors), CASE(no_rights),
	CASE(nonsense), CASE(too_long), CASE(fifo), CASE(device), CASE(named_socket), CASE(kernel_window), CASE(memory), CASE(rename_refused),
	CASE(link_refused), CASE(remove_refused), CASE(execution_refused),
};

int main(int argc, char **argv) { return RUN(cases); }
