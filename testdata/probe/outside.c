/* What leads out of sight: other interfaces of the kernel, other processes. */
#include "probe.h"
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <sys/un.h>

/* One ring with one request: open "made" for writing, then close the ring. */
static void opened_by_ring(void) {
	struct io_uring_params params = { 0 };
	int ring = syscall(SYS_io_uring_setup, 1, &params);
	if (ring < 0) cannot("io_uring_setup");
	char *sq = mmap(NULL, params.sq_off.array + 4, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
	struct io_uring_sqe *sqe = mmap(NULL, sizeof *sqe, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES);
	check(sq != MAP_FAILED && sqe != MAP_FAILED, "mmap");
	memset(sqe, 0, sizeof *sqe);
	sqe->opcode = IORING_OP_OPENAT, sqe->fd = AT_FDCWD, sqe->addr = (uintptr_t)"made", sqe->open_flags = NEW, sqe->len = 0600;
	*(unsigned *)(sq + params.sq_off.array) = 0;
	__atomic_store_n((unsigned *)(sq + params.sq_off.tail), 1, __ATOMIC_RELEASE);
	check(syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) == 1, "io_uring_enter");
	check(access("made", F_OK) == 0, "made");
}

#ifdef __x86_64__
/* The third ABI of amd64; most kernels refuse it. */
static void x32_call(void) {
	long fd = syscall(0x40000000 + SYS_open, "a", O_RDONLY);
	check(fd >= 0 || errno == ENOSYS, "open");
}
#endif

static int connect_to(int type, void *address, socklen_t size) {
	int fd = socket(*(sa_family_t *)address, type, 0);
	if (fd < 0) cannot("socket");
	return connect(fd, address, size);
}

static void connected_inet(void) {
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	connect_to(SOCK_STREAM, &four, sizeof four);
	four.sin_port = htons(53);
	connect_to(SOCK_DGRAM, &four, sizeof four);
}

static void connected_inet6(void) {
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(9), .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	connect_to(SOCK_STREAM, &six, sizeof six);
}

static void connected_unix(void) {
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "d/s" };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	check(bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 1) == 0, "bind");
	check(connect_to(SOCK_STREAM, &address, sizeof address) == 0, "connect");
	check(symlink("d/s", "l") == 0, "symlink");
	strcpy(address.sun_path, "l");
	check(connect_to(SOCK_STREAM, &address, sizeof address) == 0, "connect");
	/* Without a file: the name begins with a NUL. */
	socklen_t size = offsetof(struct sockaddr_un, sun_path) + 7;
	memcpy(address.sun_path, "\0a\nname", 7);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	check(bind(fd, (struct sockaddr *)&address, size) == 0 && listen(fd, 1) == 0, "bind");
	check(connect_to(SOCK_STREAM, &address, size) == 0, "connect");
	/* Nobody is there: it is no socket, or there is no file. */
	strcpy(address.sun_path, "a");
	refused(connect_to(SOCK_STREAM, &address, sizeof address), ECONNREFUSED, "a");
	strcpy(address.sun_path, "missing");
	refused(connect_to(SOCK_STREAM, &address, sizeof address), ENOENT, "missing");
}

/* A pair, and a socket that forgets its peer: no connection. */
static void not_connected(void) {
	int ends[2];
	check(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0, "socketpair");
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	check(connect(socket(AF_INET, SOCK_DGRAM, 0), &none, sizeof none) == 0, "AF_UNSPEC");
}

static const struct probe cases[] = {
	CASE(opened_by_ring), CASE(connected_inet), CASE(connected_inet6), CASE(connected_unix), CASE(not_connected),
#ifdef __x86_64__
	CASE(x32_call),
#endif
};

int main(int argc, char **argv) { return RUN(cases); }
