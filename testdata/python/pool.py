"""Works on files in several processes, started in the way that is named."""
import multiprocessing
import os
import sys


def work(number):
    with open("in") as source, open("part%d" % number, "w") as part:
        part.write(source.read() * number)
    return os.path.getsize("part%d" % number)


if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    with context.Pool(3) as pool, context.Manager() as manager:
        sizes = manager.list(pool.map(work, range(8)))
        try:
            open("in", "x")
        except FileExistsError:
            pass
        os.replace("part7", "last")
        os.remove("part0")
        with open("sum", "w") as out:
            out.write(str(sum(sizes)))
