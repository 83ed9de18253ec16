import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Keeps the JIT compiler and the garbage collector busy in two threads. Usage: Work.java SCALE */
public class Work {
    private static long step(int seed, int step) {
        Map<Integer, String> words = new HashMap<>();
        for (int i = 0; i < 20_000; i++) {
            words.merge((i * 31 + seed) % 4096, Integer.toHexString(i * step), String::concat);
        }
        return words.entrySet().stream().mapToLong(e -> e.getKey() * 31L + e.getValue().hashCode()).sum();
    }

    private static void run(int seed, int steps, long[] sums) {
        long sum = 0;
        for (int i = 0; i < steps; i++) {
            sum = sum * 1_000_003 + step(seed, i);
            if (seed == 0 && i % 10 == 0) {
                System.out.println(i + " " + Long.toHexString(sum));
            }
        }
        sums[seed] = sum;
    }

    public static void main(String[] args) throws InterruptedException {
        int steps = 150 * Integer.parseInt(args[0]);
        long[] sums = new long[2];
        List<Thread> threads = new ArrayList<>();
        for (int seed = 0; seed < 2; seed++) {
            int mine = seed;
            threads.add(new Thread(() -> run(mine, steps, sums)));
        }
        threads.forEach(Thread::start);
        for (Thread thread : threads) {
            thread.join();
        }
        System.out.println("done " + Long.toHexString(sums[0]) + " " + Long.toHexString(sums[1]));
    }
}
