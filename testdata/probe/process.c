/* Ways to become another process or thread, and what it then does. */
#include "probe.h"
#include <linux/sched.h>
#include <pthread.h>
#include <spawn.h>

extern char **environ;

/* What a child does that was executed: "child" NAME. */
static char *child[] = { "child", "child_makes_a_file", NULL };

static void child_makes_a_file(void) { make_file("made"); }

static pthread_barrier_t together;

static void *use_files(void *number) {
	char name[16];
	snprintf(name, sizeof name, "t%d", (int)(intptr_t)number);
	pthread_barrier_wait(&together);
	make_file(name);
	read_file("a");
	return NULL;
}

/* 64 threads open at the same moment. */
static void threads(void) {
	pthread_t ids[64];
	pthread_barrier_init(&together, NULL, 64);
	for (intptr_t i = 0; i < 64; i++) check(pthread_create(&ids[i], NULL, use_files, (void *)i) == 0, "pthread_create");
	for (int i = 0; i < 64; i++) pthread_join(ids[i], NULL);
}

static void *change_directory(void *unused) {
	check(unshare(CLONE_FS) == 0 && chdir("d") == 0, "chdir");
	read_file("o");
	return unused;
}

/* A thread with a working directory of its own. */
static void thread_elsewhere(void) {
	pthread_t id;
	check(pthread_create(&id, NULL, change_directory, NULL) == 0, "pthread_create");
	pthread_join(id, NULL);
	read_file("a");
}

static void vforked(void) {
	pid_t pid = vfork();
	if (pid == 0) { execv("/proc/self/exe", child); _exit(1); }
	await(pid, "vfork");
}

static void spawned(void) {
	pid_t pid;
	check(posix_spawn(&pid, "/proc/self/exe", NULL, NULL, child, environ) == 0, "posix_spawn");
	await(pid, "posix_spawn");
}

static void cloned(void) {
	struct clone_args args = { .exit_signal = SIGCHLD };
	pid_t pid = syscall(SYS_clone3, &args, sizeof args);
	if (pid < 0 && errno == ENOSYS) cannot("clone3");
	if (pid == 0) { make_file("made"); _exit(0); }
	await(pid, "clone3");
}

/* Files are shared: what one process opens, the other writes. */
static void descriptor_inherited(void) {
	int fd = open("made", OUT, 0600);
	pid_t pid = fork();
	if (pid == 0) { put(fd, "made"); _exit(0); }
	await(pid, "fork");
}

static void *execute(void *unused) {
	execv("/proc/self/exe", child);
	perror("execv");
	exit(1);
	return unused;
}

/* The thread takes the leader's place, and its number. */
static void executed_by_thread(void) {
	pthread_t id;
	check(pthread_create(&id, NULL, execute, NULL) == 0, "pthread_create");
	pthread_join(id, NULL);
}

/* A daemon writes when the command has long ended. */
static void daemonised(void) {
	pid_t pid = fork();
	if (pid == 0) {
		setsid();
		if (fork() != 0) _exit(0);
		usleep(200000);
		make_file("made");
		read_file("a");
		_exit(0);
	}
	await(pid, "fork");
}

static void make_script(const char *text) {
	int fd = open("s.sh", NEW, 0700), size = strlen(text);
	check(fd >= 0 && write(fd, text, size) == size, "s.sh");
	close(fd);
}

static void executed_script(void) {
	make_script("#!/bin/sh\n: >made\n");
	pid_t pid = vfork();
	if (pid == 0) { execl("./s.sh", "s.sh", NULL); _exit(1); }
	await(pid, "s.sh");
}

static void script_without_interpreter(void) {
	make_script("#!/missing/interpreter\n");
	refused(execl("./s.sh", "s.sh", NULL), ENOENT, "s.sh");
}

static void executed_relative(void) {
	int fd = open("d/prog", NEW, 0700);
	copy_self(fd);
	close(fd);
	pid_t pid = fork();
	if (pid == 0) { syscall(SYS_execveat, open("d", O_PATH), "prog", child, environ, 0); _exit(1); }
	await(pid, "execveat");
}

/* A program that is no file. */
static void executed_from_memory(void) {
	int fd = memfd_create("program", MFD_CLOEXEC);
	copy_self(fd);
	pid_t pid = fork();
	if (pid == 0) { fexecve(fd, child, environ); _exit(1); }
	await(pid, "fexecve");
}

static const struct probe cases[] = {
	CASE(child_makes_a_file), CASE(threads), CASE(thread_elsewhere), CASE(vforked), CASE(spawned), CASE(cloned), CASE(descriptor_inherited),
	CASE(executed_by_thread), CASE(daemonised), CASE(executed_script), CASE(script_without_interpreter),
	CASE(executed_relative), CASE(executed_from_memory),
};

int main(int argc, char **argv) { return RUN(cases); }
