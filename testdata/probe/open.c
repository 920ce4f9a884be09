/* Ways to name and open a file. */
#include "probe.h"

static int openat2_(int dir, const char *path, uint64_t flags, uint64_t resolve) {
	struct open_how how = { .flags = flags, .mode = flags & O_CREAT ? 0600 : 0, .resolve = resolve };
	int fd = syscall(SYS_openat2, dir, path, &how, sizeof how);
	if (fd < 0 && errno == ENOSYS) cannot("openat2");
	return fd;
}

static void openat_dirfd(void) {
	int d = open("d", O_RDONLY | O_DIRECTORY);
	get(openat(d, "o", O_RDONLY), "o");
	get(openat(d, "../a", O_RDONLY), "../a");
	put(openat(d, "./made", OUT, 0600), "made");
}

/* The directory does not matter when the path is absolute. */
static void openat_absolute(void) {
	char path[PATH_MAX];
	check(realpath("a", path) != NULL, "realpath");
	get(openat(-1, path, O_RDONLY), path);
	refused(openat(-1, "b", O_RDONLY), EBADF, "descriptor -1");
}

static void openat2_plain(void) {
	int d = open("d", O_PATH);
	put(openat2_(d, "made", OUT, 0), "made");
	get(openat2_(d, "../a", O_RDONLY, 0), "../a");
}

/* Paths may not leave the directory. */
static void openat2_beneath(void) {
	int d = open("d", O_PATH);
	refused(openat2_(d, "../b", O_RDONLY, RESOLVE_BENEATH), EXDEV, "../b");
	refused(openat2_(d, "../made", OUT, RESOLVE_BENEATH), EXDEV, "../made");
	get(openat2_(AT_FDCWD, "d/../a", O_RDONLY, RESOLVE_BENEATH), "d/../a");
}

/* The directory is the root: of "/", of ".." and of links. */
static void openat2_in_root(void) {
	int d = open("d", O_PATH);
	check(symlink("/o", "d/link") == 0, "symlink");
	get(openat2_(d, "/link", O_RDONLY, RESOLVE_IN_ROOT), "/link");
	put(openat2_(d, "/../made", OUT, RESOLVE_IN_ROOT), "/../made");
	refused(openat2_(d, "../a", O_RDONLY, RESOLVE_IN_ROOT), ENOENT, "../a");
}

static void openat2_no_symlinks(void) {
	check(symlink("a", "link") == 0, "symlink");
	refused(openat2_(AT_FDCWD, "link", O_RDONLY, RESOLVE_NO_SYMLINKS), ELOOP, "link");
	get(openat2_(AT_FDCWD, "b", O_RDONLY, RESOLVE_NO_SYMLINKS), "b");
}

static void openat2_no_magiclinks(void) {
	refused(openat2_(AT_FDCWD, own_fd(open("a", O_PATH)), O_RDONLY, RESOLVE_NO_MAGICLINKS), ELOOP, "/proc/self/fd");
}

static void creat_call(void) {
#ifdef SYS_creat
	put(syscall(SYS_creat, "made", 0600), "creat");
#else
	put(creat("made", 0600), "creat");
#endif
}

/* A file that gets its only name at the end. */
static void tmpfile_linked_by_proc(void) {
	int fd = open(".", O_TMPFILE | O_WRONLY, 0600);
	check(fd >= 0, "O_TMPFILE");
	check(linkat(AT_FDCWD, own_fd(fd), AT_FDCWD, "made", AT_SYMLINK_FOLLOW) == 0, "linkat");
	put(fd, "made");
}

static void tmpfile_linked_by_descriptor(void) {
	int fd = open("d", O_TMPFILE | O_RDWR, 0600);
	check(fd >= 0, "O_TMPFILE");
	if (linkat(fd, "", AT_FDCWD, "d/made", AT_EMPTY_PATH) != 0) cannot("linkat");
	check(linkat(fd, "", AT_FDCWD, "again", AT_EMPTY_PATH) == 0, "linkat");
	put(fd, "made");
}

/* A file that never gets a name. */
static void tmpfile_unnamed(void) {
	put(open(".", O_TMPFILE | O_RDWR, 0600), "O_TMPFILE");
}

static void in_directory_chdir(void) {
	check(chdir("d") == 0, "chdir");
	read_file("o");
	make_file("made");
	check(chdir("..") == 0, "chdir");
	read_file("a");
}

static void in_directory_fchdir(void) {
	check(fchdir(open("d", O_RDONLY)) == 0, "fchdir");
	read_file("o");
	read_file("../b");
}

/* Names that mean another file to every process. */
static void own_proc(void) {
	read_file("/proc/self/cwd/a");
	read_file("/proc/thread-self/cwd/d/o");
	read_file(own_fd(open("b", O_PATH)));
}

static void own_proc_written(void) {
	put(open(own_fd(open("a", O_PATH)), O_WRONLY | O_APPEND), "a");
}

static void standard_input(void) {
	check(dup2(open("a", O_RDONLY), 0) == 0, "dup2");
	check(symlink("/dev/stdin", "link") == 0, "symlink");
	read_file("/dev/stdin");
	read_file("/dev/fd/0");
	read_file("link");
}

/* O_PATH reaches no content. */
static void path_only(void) { check(open("a", O_PATH) >= 0, "O_PATH"); }

static void link_chain(void) {
	check(symlink("l2", "l1") == 0 && symlink("d/../l3", "l2") == 0 && symlink("a", "l3") == 0, "symlink");
	read_file("l1");
}

/* The file is made where the last link leads. */
static void link_chain_to_nothing(void) {
	check(symlink("l2", "l1") == 0 && symlink("d/l3", "l2") == 0 && symlink("made", "d/l3") == 0, "symlink");
	put(open("l1", OUT, 0600), "l1");
}

static void link_to_directory(void) {
	check(symlink("d", "l") == 0, "symlink");
	read_file("l/o");
	make_file("l/made");
}

static void link_swapped(void) {
	check(symlink("a", "l") == 0, "symlink");
	read_file("l");
	check(symlink("b", "next") == 0 && rename("next", "l") == 0, "swap");
	read_file("l");
}

static const struct probe cases[] = {
	CASE(openat_dirfd), CASE(openat_absolute), CASE(openat2_plain), CASE(openat2_beneath), CASE(openat2_in_root),
	CASE(openat2_no_symlinks), CASE(openat2_no_magiclinks), CASE(creat_call), CASE(tmpfile_linked_by_proc),
	CASE(tmpfile_linked_by_descriptor), CASE(tmpfile_unnamed), CASE(in_directory_chdir), CASE(in_directory_fchdir), CASE(own_proc),
	CASE(own_proc_written), CASE(standard_input), CASE(path_only), CASE(link_chain), CASE(link_chain_to_nothing),
	CASE(link_to_directory), CASE(link_swapped),
};

int main(int argc, char **argv) { return RUN(cases); }
