/* Ways by which content goes into a file and out of it. */
#include "probe.h"
#include <sys/sendfile.h>

static void truncated_by_name(void) {
	read_file("a");
	check(truncate("a", 0) == 0, "truncate");
}

static void truncated_by_descriptor(void) {
	read_file("a");
	int fd = open("a", O_WRONLY);
	check(ftruncate(fd, 0) == 0, "ftruncate");
}

static void truncated_by_opening(void) {
	read_file("a");
	check(open("a", O_WRONLY | O_TRUNC) >= 0, "O_TRUNC");
}

/* Even an open for reading truncates. */
static void truncated_by_opening_to_read(void) {
	read_file("a");
	check(open("a", O_RDONLY | O_TRUNC) >= 0, "O_TRUNC");
}

/* Nothing of what was there is used. */
static void truncated_unread(void) { check(truncate("a", 0) == 0, "truncate"); }

/* What was there stays. */
static void lengthened_unread(void) { check(truncate("a", 2) == 0, "truncate"); }

static void read_then_overwritten(void) {
	read_file("a");
	put(open("a", O_WRONLY | O_TRUNC), "a");
}

static void read_then_created(void) {
	read_file("a");
	put(creat("a", 0600), "a");
}

/* The digest of what was read is at work when the write comes. */
static void big_then_overwritten(void) {
	read_file("big");
	put(open("big", O_WRONLY | O_TRUNC), "big");
}

static void overwritten_unread(void) { put(open("a", O_WRONLY | O_TRUNC), "a"); }

/* What is not overwritten stays: the old content is an input. */
static void overwritten_in_part(void) { put(open("a", O_WRONLY), "a"); }

static void appended(void) { put(open("a", O_WRONLY | O_APPEND), "a"); }

static void appended_nothing(void) { check(close(open("a", O_WRONLY | O_APPEND)) == 0, "a"); }

static void opened_for_both(void) { get(open("a", O_RDWR), "a"); }

static void written_then_read(void) {
	make_file("made");
	read_file("made");
}

static char *map(int fd, int prot, int flags) {
	char *at = mmap(NULL, 1, prot, flags, fd, 0);
	check(at != MAP_FAILED, "mmap");
	return at;
}

static void mapped_new(void) {
	int fd = open("made", O_RDWR | O_CREAT, 0600);
	check(ftruncate(fd, 1) == 0, "ftruncate");
	char *at = map(fd, PROT_READ | PROT_WRITE, MAP_SHARED);
	*at = 'x';
	munmap(at, 1);
}

/* The descriptor is closed, other files are used, then the write comes. */
static void mapped_and_closed(void) {
	int fd = open("a", O_RDWR);
	char *at = map(fd, PROT_READ | PROT_WRITE, MAP_SHARED);
	close(fd);
	make_file("made");
	read_file("b");
	*at = 'x';
}

static void mapped_private(void) {
	*map(open("a", O_RDONLY), PROT_READ | PROT_WRITE, MAP_PRIVATE) = 'x';
}

static void sent(void) {
	check(sendfile(open("made", OUT, 0600), open("a", O_RDONLY), NULL, 1) == 1, "sendfile");
}

static void copied(void) {
	check(copy_file_range(open("a", O_RDONLY), NULL, open("made", OUT, 0600), NULL, 1, 0) == 1, "copy_file_range");
}

static void spliced(void) {
	int ends[2];
	check(pipe(ends) == 0, "pipe");
	check(splice(open("a", O_RDONLY), NULL, ends[1], NULL, 1, 0) == 1, "splice");
	check(splice(ends[0], NULL, open("made", OUT, 0600), NULL, 1, 0) == 1, "splice");
}

static const struct probe cases[] = {
	CASE(truncated_by_name), CASE(truncated_by_descriptor), CASE(truncated_by_opening), CASE(truncated_by_opening_to_read),
	CASE(truncated_unread), CASE(lengthened_unread), CASE(read_then_overwritten), CASE(read_then_created), CASE(big_then_overwritten),
	CASE(overwritten_unread), CASE(overwritten_in_part), CASE(appended), CASE(appended_nothing), CASE(opened_for_both),
	CASE(written_then_read), CASE(mapped_new), CASE(mapped_and_closed), CASE(mapped_private), CASE(sent), CASE(copied), CASE(spliced),
};

int main(int argc, char **argv) { return RUN(cases); }
