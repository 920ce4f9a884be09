/* Does one thing many times, quickly, in the working folder:

   many make FILES             makes files f0, f1, ...
   many open FILES OPENS THREADS   opens them in turn, OPENS times in all
   many spawn PROGRAMS PROGRAM     executes a program, one after the other
   many move FILES             reads f0, f1, ... all, then renames each
   many replace TIMES          writes t, and renames it to the name out
   many churn FILES            makes files of different names and removes them
   many folders FOLDERS        makes folders with a file each, and renames them
   many connect PORTS          asks for connections to ports of 127.0.0.1 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static long files, opens, threads;

static void check(int ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

static void touch(const char *name)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	check(fd >= 0 && write(fd, "x", 1) == 1 && close(fd) == 0, name);
}

static void numbered(char *name, char kind, long number) { sprintf(name, "%c%ld", kind, number); }

static void *opener(void *first)
{
	char name[32];
	for (long i = (long)first; i < opens; i += threads) {
		numbered(name, 'f', i % files);
		int fd = open(name, O_RDONLY);
		check(fd >= 0 && close(fd) == 0, name);
	}
	return NULL;
}

static void spawn(long count, char *program)
{
	char *argv[] = {program, NULL}, *environ[] = {NULL};
	for (long i = 0; i < count; i++) {
		pid_t child;
		int status;
		check(posix_spawn(&child, program, NULL, NULL, argv, environ) == 0, program);
		check(waitpid(child, &status, 0) == child && status == 0, "waitpid");
	}
}

static void connects(long ports)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	for (long port = 1; port <= ports; port++) {
		to.sin_port = htons(port);
		check(connect(fd, (struct sockaddr *)&to, sizeof to) == 0, "connect");
	}
}

int main(int argc, char **argv)
{
	char name[32], next[40];
	check(argc >= 3, "usage");
	long count = atol(argv[2]);
	if (strcmp(argv[1], "open") == 0 && argc == 5) {
		files = count, opens = atol(argv[3]), threads = atol(argv[4]);
		pthread_t all[256];
		for (long i = 0; i < threads; i++)
			check(pthread_create(&all[i], NULL, opener, (void *)i) == 0, "pthread_create");
		for (long i = 0; i < threads; i++)
			pthread_join(all[i], NULL);
		return 0;
	}
	if (strcmp(argv[1], "spawn") == 0 && argc == 4) {
		spawn(count, argv[3]);
		return 0;
	}
	if (strcmp(argv[1], "move") == 0) {
		files = opens = count, threads = 1;
		opener(NULL);
	}
	if (strcmp(argv[1], "connect") == 0) {
		connects(count);
		return 0;
	}
	for (long i = 0; i < count; i++) {
		if (strcmp(argv[1], "make") == 0) {
			numbered(name, 'f', i);
			touch(name);
		} else if (strcmp(argv[1], "move") == 0) {
			numbered(name, 'f', i);
			numbered(next, 'g', i);
			check(rename(name, next) == 0, name);
		} else if (strcmp(argv[1], "replace") == 0) {
			touch("t");
			check(rename("t", "out") == 0, "rename");
		} else if (strcmp(argv[1], "churn") == 0) {
			numbered(name, 'c', i);
			touch(name);
			check(unlink(name) == 0, name);
		} else if (strcmp(argv[1], "folders") == 0) {
			numbered(name, 'd', i);
			check(mkdir(name, 0700) == 0, name);
			sprintf(next, "%s/x", name);
			touch(next);
			numbered(next, 'e', i);
			check(rename(name, next) == 0, name);
		} else {
			check(0, argv[1]);
		}
	}
	return 0;
}
