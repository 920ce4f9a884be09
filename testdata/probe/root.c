/* What only root can do: other rights, other roots, other mounts. Linked
   statically, so that it can execute itself anywhere. */
#include "probe.h"
#include <dirent.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/mount.h>

#define NOBODY 65534

/* As another user, groups included. */
static void become(uid_t uid) {
	check(setgroups(0, NULL) == 0 && setgid(uid) == 0 && setuid(uid) == 0, "setuid");
}

static void without_root(void) {
	check(chmod("b", 0644) == 0 && chmod("d", 0700) == 0 && chmod("d/o", 0666) == 0, "chmod");
	become(NOBODY);
	refused(open("a", O_RDONLY), EACCES, "a: mode 0600");
	refused(open("d/o", O_RDONLY), EACCES, "d/o: its folder has mode 0700");
	refused(open("b", O_WRONLY), EACCES, "b: mode 0644");
	refused(open("made", OUT, 0600), EACCES, "made");
	refused(unlink("a"), EACCES, "unlink");
	refused(rename("a", "z"), EACCES, "rename");
	read_file("b");
}

static void without_root_in_own_folder(void) {
	check(mkdir("own", 0700) == 0 && chown("own", NOBODY, NOBODY) == 0, "own");
	become(NOBODY);
	make_file("own/made");
	make_file("own/t");
	check(rename("own/t", "own/renamed") == 0, "rename");
}

static void in_group(void) {
	gid_t group = 12345;
	check(chown("a", 0, group) == 0 && chmod("a", 0640) == 0 && chown("b", 0, group + 1) == 0 && chmod("b", 0640) == 0, "chown");
	check(setgroups(1, &group) == 0 && setuid(NOBODY) == 0, "setuid");
	read_file("a");
	refused(open("b", O_RDONLY), EACCES, "b");
}

/* Only for files another user, and only for a while. */
static void for_files_only(void) {
	setfsuid(NOBODY);
	refused(open("a", O_RDONLY), EACCES, "a");
	setfsuid(0);
	read_file("b");
}

/* Still root, but bound by the rights of files. */
static void without_capabilities(void) {
	check(chown("a", NOBODY, NOBODY) == 0 && chmod("a", 0600) == 0, "chown");
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct none[2] = { 0 };
	check(syscall(SYS_capset, &head, none) == 0, "capset");
	refused(open("a", O_RDONLY), EACCES, "a");
	read_file("b");
}

/* What "set_user_id" executes. */
static void child_without_root(void) {
	refused(open("a", O_RDONLY), EACCES, "a");
	make_file("own/made");
}

/* The program's file makes it another user. */
static void set_user_id(void) {
	check(mkdir("own", 0777) == 0 && chmod("own", 0777) == 0, "own");
	int fd = open("prog", NEW, 0700);
	copy_self(fd);
	check(fchown(fd, NOBODY, NOBODY) == 0 && fchmod(fd, 04755) == 0, "prog");
	close(fd);
	pid_t pid = fork();
	if (pid == 0) { execl("./prog", "prog", "child_without_root", NULL); _exit(1); }
	await(pid, "prog");
}

/* What other cases execute in their new root. */
static void child_in_root(void) {
	make_file("/made");
	refused(open("/missing/../made2", OUT, 0600), ENOENT, "made2");
	make_file("made3");
	read_file("/link");
	refused(open("/a", O_RDONLY), ENOENT, "a");
}

static void make_root(void) {
	check(mkdir("root", 0700) == 0 && mkdir("root/sub", 0700) == 0, "root");
	make_file("root/in");
	int fd = open("root/prog", NEW, 0700);
	copy_self(fd);
	close(fd);
	check(symlink("/in", "root/sub/next") == 0 && symlink("/sub/next", "root/link") == 0, "symlink");
}

static void in_root(void) {
	make_root();
	pid_t pid = fork();
	if (pid == 0) {
		check(chroot("root") == 0 && chdir("/") == 0, "chroot");
		execl("/prog", "prog", "child_in_root", NULL);
		_exit(1);
	}
	await(pid, "prog");
	read_file("a");
}

/* The working directory stays outside of the new root. */
static void in_root_half(void) {
	check(chroot("d") == 0, "chroot");
	read_file("/o");
	read_file("a");
}

static void own_mounts(void) {
	if (unshare(CLONE_NEWNS) != 0) cannot("unshare");
	check(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0, "make mounts private");
}

/* d appears as e too, for this process only. */
static void bound_elsewhere(void) {
	own_mounts();
	check(mkdir("e", 0700) == 0 && mount("d", "e", NULL, MS_BIND, NULL) == 0, "mount");
	read_file("e/o");
}

/* What is written there goes with the process. */
static void on_a_file_system_of_its_own(void) {
	own_mounts();
	check(mount("none", "d", "tmpfs", 0, NULL) == 0, "mount");
	make_file("d/made");
}

static void in_a_pivoted_root(void) {
	make_root();
	own_mounts();
	check(mount("root", "root", NULL, MS_BIND, NULL) == 0 && chdir("root") == 0, "mount");
	check(syscall(SYS_pivot_root, ".", ".") == 0 && umount2(".", MNT_DETACH) == 0 && chdir("/") == 0, "pivot_root");
	read_file("/in");
}

static void in_a_user_namespace(void) {
	become(NOBODY);
	if (unshare(CLONE_NEWUSER) != 0) cannot("unshare");
	refused(open("a", O_RDONLY), EACCES, "a");
}

static void by_handle(void) {
	struct { struct file_handle head; char rest[128]; } handle = { .head.handle_bytes = 128 };
	int mount, dir = open(".", O_RDONLY);
	if (name_to_handle_at(AT_FDCWD, "a", &handle.head, &mount, 0) != 0) cannot("name_to_handle_at");
	int fd = open_by_handle_at(dir, &handle.head, O_RDONLY);
	if (fd < 0) cannot("open_by_handle_at");
	get(fd, "a");
}

static const struct probe cases[] = {
	CASE(without_root), CASE(without_root_in_own_folder), CASE(in_group), CASE(for_files_only), CASE(without_capabilities),
	CASE(child_without_root), CASE(set_user_id), CASE(child_in_root), CASE(in_root), CASE(in_root_half), CASE(bound_elsewhere),
	CASE(on_a_file_system_of_its_own), CASE(in_a_pivoted_root), CASE(in_a_user_namespace), CASE(by_handle),
};

int main(int argc, char **argv) {
	if (argc > 1 && geteuid() != 0 && strncmp(argv[1], "child", 5) != 0) { errno = EPERM; cannot("not root"); }
	return RUN(cases);
}
