/* Files that get, change and lose their names. */
#include "probe.h"
#include <linux/fs.h>

static int rename2(const char *from, const char *to, unsigned flags) {
	return syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, flags);
}

static void move_file(const char *from, const char *to) { check(rename(from, to) == 0, from); }
static void link_file(const char *from, const char *to) { check(link(from, to) == 0, from); }
static void overwrite(const char *name) { put(open(name, O_WRONLY | O_TRUNC), name); }

static void renamed(void) { move_file("a", "z"); }

static void renamed_after_writing(void) {
	make_file("t");
	move_file("t", "made");
}

static void renamed_over_input(void) {
	read_file("a");
	make_file("t");
	move_file("t", "a");
}

static void renamed_in_a_chain(void) {
	make_file("t");
	move_file("t", "u"), move_file("u", "d/v"), move_file("d/v", "made");
	move_file("a", "m"), move_file("m", "z");
}

static void renamed_in_a_circle(void) {
	move_file("a", "t"), move_file("b", "a"), move_file("t", "b");
}

static void renamed_there_and_back(void) {
	move_file("a", "z"), move_file("z", "a");
}

static void renamed_without_replacing(void) {
	refused(rename2("a", "b", RENAME_NOREPLACE), EEXIST, "b");
	check(rename2("a", "z", RENAME_NOREPLACE) == 0, "z");
}

static void exchanged(void) { check(rename2("a", "b", RENAME_EXCHANGE) == 0, "exchange"); }

static void exchanged_with_output(void) {
	read_file("a");
	make_file("new");
	check(rename2("new", "a", RENAME_EXCHANGE) == 0, "exchange");
}

static void exchanged_directories(void) {
	check(mkdir("e", 0700) == 0, "mkdir");
	make_file("e/p");
	check(rename2("d", "e", RENAME_EXCHANGE) == 0, "exchange");
}

static void exchanged_file_and_directory(void) {
	check(rename2("a", "d", RENAME_EXCHANGE) == 0, "exchange");
}

static void exchanged_directory_and_file(void) {
	read_file("a");
	check(rename2("d", "a", RENAME_EXCHANGE) == 0, "exchange");
}

static void directory_renamed(void) {
	make_file("d/p");
	move_file("d", "e");
}

static void directory_renamed_twice(void) { move_file("d", "e"), move_file("e", "f"); }

static void directory_renamed_and_made_anew(void) {
	move_file("d", "e");
	check(mkdir("d", 0700) == 0, "mkdir");
	make_file("d/o");
}

static void directory_renamed_then_read(void) {
	move_file("d", "e");
	read_file("e/o");
}

static void moved_out_of_renamed_directory(void) {
	move_file("d", "e"), move_file("e/o", "z");
}

/* What is renamed is the link. */
static void link_renamed_over_input(void) {
	read_file("a");
	check(symlink("b", "l") == 0, "symlink");
	move_file("l", "a");
}

static void renamed_over_link(void) {
	check(symlink("a", "l") == 0, "symlink");
	make_file("t");
	move_file("t", "l");
}

static void hard_link(void) { link_file("a", "q"); }

static void hard_link_to_output(void) {
	make_file("made");
	link_file("made", "again");
}

static void hard_link_in_place_of(void) {
	link_file("a", "q");
	check(unlink("a") == 0, "unlink");
}

/* One file: both names have the new content. */
static void hard_link_written(void) {
	link_file("a", "q");
	overwrite("q");
}

static void hard_link_to_input_written(void) {
	read_file("a");
	link_file("a", "q");
	overwrite("q");
}

/* The digest of what was read is at work when the write comes. */
static void hard_link_to_big_input_written(void) {
	read_file("big");
	link_file("big", "q");
	overwrite("q");
}

/* c and c2 are one file from the start. */
static void two_names(void) { read_file("c"), read_file("c2"); }

static void two_names_one_written(void) {
	read_file("c");
	overwrite("c2");
}

static void deleted_while_open(void) {
	int fd = open("a", O_RDONLY);
	check(unlink("a") == 0, "unlink");
	get(fd, "a");
}

static void deleted_and_opened_again(void) {
	int fd = open("a", O_PATH);
	check(unlink("a") == 0, "unlink");
	read_file(own_fd(fd));
}

static void deleted_output(void) {
	int fd = open("t", O_RDWR | O_CREAT, 0600);
	check(unlink("t") == 0, "unlink");
	put(open(own_fd(fd), O_WRONLY), "t");
	get(fd, "t");
}

static void deleted_big_input(void) {
	read_file("big");
	check(unlinkat(AT_FDCWD, "big", 0) == 0, "unlinkat");
}

static void deleted_and_made_anew(void) {
	read_file("a");
	check(unlink("a") == 0, "unlink");
	make_file("a");
}

/* The file system gives the inode to the next one. */
static void deleted_and_inode_used_again(void) {
	make_file("t");
	check(unlink("t") == 0, "unlink");
	make_file("made");
	read_file("made");
}

/* Without having been read, what goes is no input. */
static void deleted_unread(void) { check(unlink("a") == 0, "unlink"); }

static void deleted_link(void) {
	check(symlink("a", "l") == 0 && unlink("l") == 0, "link");
	read_file("a");
}

static const struct probe cases[] = {
	CASE(renamed), CASE(renamed_after_writing), CASE(renamed_over_input), CASE(renamed_in_a_chain), CASE(renamed_in_a_circle),
	CASE(renamed_there_and_back), CASE(renamed_without_replacing), CASE(exchanged), CASE(exchanged_with_output),
	CASE(exchanged_directories), CASE(exchanged_file_and_directory), CASE(exchanged_directory_and_file), CASE(directory_renamed),
	CASE(directory_renamed_twice), CASE(directory_renamed_and_made_anew), CASE(directory_renamed_then_read),
	CASE(moved_out_of_renamed_directory), CASE(link_renamed_over_input), CASE(renamed_over_link), CASE(hard_link),
	CASE(hard_link_to_output), CASE(hard_link_in_place_of), CASE(hard_link_written), CASE(hard_link_to_input_written),
	CASE(hard_link_to_big_input_written), CASE(two_names), CASE(two_names_one_written), CASE(deleted_while_open),
	CASE(deleted_and_opened_again), CASE(deleted_output), CASE(deleted_big_input), CASE(deleted_and_made_anew),
	CASE(deleted_and_inode_used_again), CASE(deleted_unread), CASE(deleted_link),
};

int main(int argc, char **argv) { return RUN(cases); }
