/* What the probes share. A probe is one program of many cases; it runs one of
   them, in the current directory, which holds what README.md says. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* The status of a case that this machine or user cannot run. */
#define CANNOT 77

#define OUT (O_WRONLY | O_CREAT)
#define NEW (O_WRONLY | O_CREAT | O_EXCL)

struct probe {
	const char *name;
	void (*run)(void);
};
#define CASE(name) { #name, name }

static void check(int ok, const char *what) {
	if (!ok) { perror(what); exit(1); }
}

/* The call must fail with this error. */
static void refused(long result, int error, const char *what) {
	if (result >= 0 || errno != error) {
		fprintf(stderr, "%s: %s, wanted %s\n", what, result >= 0 ? "success" : strerror(errno), strerror(error));
		exit(1);
	}
}

static inline void cannot(const char *what) {
	perror(what);
	exit(CANNOT);
}

/* Write "x" to a descriptor and close it. */
static inline void put(int fd, const char *what) {
	check(fd >= 0 && write(fd, "x", 1) == 1, what);
	close(fd);
}

/* Read from a descriptor and close it. */
static inline void get(int fd, const char *what) {
	char c;
	check(fd >= 0 && read(fd, &c, 1) == 1, what);
	close(fd);
}

static inline void make_file(const char *name) { put(open(name, NEW, 0600), name); }
static inline void read_file(const char *name) { get(open(name, O_RDONLY), name); }

static inline const char *own_fd(int fd) {
	static char path[64];
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	return path;
}

/* Wait for a child, which must succeed. */
static inline void await(pid_t pid, const char *what) {
	int status;
	check(pid > 0 && waitpid(pid, &status, 0) == pid, what);
	if (status != 0) exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

/* Copy this program to a file that can be executed. */
static inline void copy_self(int to) {
	char buffer[65536];
	ssize_t n;
	int from = open("/proc/self/exe", O_RDONLY);
	while ((n = read(from, buffer, sizeof buffer)) > 0) check(write(to, buffer, n) == n, "copy");
	check(n == 0, "copy");
	close(from);
}

/* Run the case that is named; list them all when none is, but for those that
   others execute: "child_…". */
static int run(const struct probe *cases, int count, int argc, char **argv) {
	for (int i = 0; i < count; i++) {
		if (argc >= 2) {
			if (strcmp(argv[1], cases[i].name) == 0) { cases[i].run(); return 0; }
		} else if (strncmp(cases[i].name, "child_", 6) != 0) {
			puts(cases[i].name);
		}
	}
	return argc < 2 ? 0 : 2;
}
#define RUN(cases) run(cases, sizeof cases / sizeof *cases, argc, argv)
