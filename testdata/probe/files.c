/* A program whose use of files is known exactly: files.want lists it. It works
   in the current directory, where "in" exists. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void check(int ok, const char *what) {
	if (!ok) { perror(what); exit(1); }
}

static void put(int fd, const char *what) {
	check(fd >= 0 && write(fd, "x", 1) == 1, what);
	close(fd);
}

static void *in_thread(void *name) {
	put(openat(AT_FDCWD, name, O_WRONLY | O_CREAT, 0600), name);
	return NULL;
}

int main(int argc, char **argv) {
	if (argc > 1) { /* as a child */
		put(open(argv[1], O_WRONLY | O_CREAT | O_EXCL, 0600), argv[1]);
		return 0;
	}
	/* A file that gets its only name at the end. */
	int fd = open(".", O_TMPFILE | O_WRONLY, 0600);
	char path[64];
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	check(fd >= 0 && write(fd, "x", 1) == 1, "O_TMPFILE");
	check(linkat(AT_FDCWD, path, AT_FDCWD, "linked", AT_SYMLINK_FOLLOW) == 0, "linkat");
	close(fd);

	/* A file without a name, opened again. */
	fd = memfd_create("memory", 0);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	put(open(path, O_WRONLY), "memfd");

	/* Only a path, no content. */
	close(open("in", O_PATH));
	/* Refused: it exists; it is no directory. */
	check(open("in", O_WRONLY | O_CREAT | O_EXCL, 0600) < 0, "O_EXCL");
	check(open("in", O_RDONLY | O_DIRECTORY) < 0, "O_DIRECTORY");

	/* Relative to a directory descriptor; openat2; creat. */
	fd = open(".", O_RDONLY | O_DIRECTORY);
	put(openat(fd, "./at", O_WRONLY | O_CREAT, 0600), "openat");
	struct { unsigned long long flags, mode, resolve; } how = { O_WRONLY | O_CREAT, 0600, 0 };
	put(syscall(SYS_openat2, fd, "at2", &how, sizeof how), "openat2");
	put(syscall(SYS_openat, AT_FDCWD, "creat", O_WRONLY | O_CREAT | O_TRUNC, 0600), "creat");

	/* Written through a shared mapping only. */
	fd = open("mapped", O_RDWR | O_CREAT, 0600);
	check(ftruncate(fd, 1) == 0, "ftruncate");
	char *map = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	check(map != MAP_FAILED, "mmap");
	*map = 'x';
	munmap(map, 1);
	close(fd);

	/* In a thread; after vfork; by posix_spawn. */
	pthread_t thread;
	check(pthread_create(&thread, NULL, in_thread, "thread") == 0, "pthread_create");
	pthread_join(thread, NULL);
	char *child[] = { argv[0], "vforked", NULL };
	pid_t pid = vfork();
	if (pid == 0) { execv("/proc/self/exe", child); _exit(1); }
	check(pid > 0 && waitpid(pid, NULL, 0) == pid, "vfork");
	child[1] = "spawned";
	check(posix_spawn(&pid, "/proc/self/exe", NULL, NULL, child, environ) == 0, "posix_spawn");
	check(waitpid(pid, NULL, 0) == pid, "waitpid");
	return 0;
}
