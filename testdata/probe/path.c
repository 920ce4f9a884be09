/* Names that are long, or made to confuse who reads a log. */
#include "probe.h"

static void hostile(void) {
	const char *names[] = {
		"new\nline", "\033[31mred\a", "a -> b", " ", "back\\slash\\x41", "not\xff\xfeUTF-8", "\xe2\x80\xaegnp.a", "made (deleted)", "-rf", "*", "\"quoted'`$(id)",
	};
	for (unsigned i = 0; i < sizeof names / sizeof *names; i++) make_file(names[i]);
}

/* Each directory a name of 255 bytes, and so the file. */
static void enter(int depth) {
	char name[256];
	memset(name, 'n', 255), name[255] = 0;
	for (int i = 0; i < depth; i++) check(mkdir(name, 0700) == 0 && chdir(name) == 0, "long name");
}

static void long_name(void) {
	char name[256];
	memset(name, 'm', 255), name[255] = 0;
	make_file(name);
}

/* 4,095 bytes with many a detour. */
static void longest_relative(void) {
	char path[PATH_MAX];
	for (int i = 0; i < PATH_MAX - 2; i += 2) memcpy(path + i, "./", 2);
	strcpy(path + PATH_MAX - 2, "b");
	read_file(path);
	path[PATH_MAX - 2] = 'm';
	make_file(path);
}

/* 4,095 bytes from the root on. */
static void longest_absolute(void) {
	char path[PATH_MAX];
	check(getcwd(path, sizeof path) != NULL, "getcwd");
	enter((PATH_MAX - 1 - strlen(path)) / 256 - 1);
	check(getcwd(path, sizeof path) != NULL, "getcwd");
	int used = strlen(path);
	/* A directory and a file fill the rest, with half of it each. */
	int half = used + (PATH_MAX - 1 - used) / 2;
	memset(path + used, 'k', PATH_MAX - 1 - used);
	path[used] = '/', path[half] = 0, path[PATH_MAX - 1] = 0;
	check(mkdir(path, 0700) == 0, "mkdir");
	path[half] = '/';
	make_file(path);
	read_file(path);
}

/* Deeper than any path can say. */
static void beyond(void) {
	enter(20);
	make_file("made");
}

static void beyond_read(void) {
	int a = open("a", O_PATH);
	enter(20);
	check(linkat(AT_FDCWD, own_fd(a), AT_FDCWD, "q", AT_SYMLINK_FOLLOW) == 0, "linkat");
	read_file("q");
}

static const struct probe cases[] = {
	CASE(hostile), CASE(long_name), CASE(longest_relative), CASE(longest_absolute), CASE(beyond), CASE(beyond_read),
};

int main(int argc, char **argv) { return RUN(cases); }
