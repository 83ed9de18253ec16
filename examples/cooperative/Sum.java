import com.sun.jna.Library;
import com.sun.jna.Native;
import com.sun.jna.Structure;
import com.sun.jna.Structure.FieldOrder;

/** A job that asks for a checkpoint between two of its steps. Arguments: PREFIX, number of steps, the one to ask after. */
public final class Sum {

    /** caesura_job.h, name by name, and cr_strerror() of libcr.h. */
    public interface LibCr extends Library {
        int CAESURA_JOB_RESTARTED = 1;

        @FieldOrder({"size", "restarts", "sequence", "host", "context"})
        final class caesura_job_place extends Structure {
            public int size;
            public int restarts;
            public long sequence;
            public byte[] host = new byte[256];
            public byte[] context = new byte[4096];
        }

        int caesura_job_checkpoint(int timeoutMs, caesura_job_place place);

        String cr_strerror(int errnum);
    }

    private Sum() {}

    private static void ask(LibCr libcr) {
        LibCr.caesura_job_place place = new LibCr.caesura_job_place();
        place.size = place.size();
        int result = libcr.caesura_job_checkpoint(60_000, place);
        if (result < 0) {
            System.out.println("no checkpoint: " + libcr.cr_strerror(-result));
        } else {
            String word = result == LibCr.CAESURA_JOB_RESTARTED ? "restarted" : "continued";
            System.out.println(word + " on " + Native.toString(place.host) + ", context " + place.sequence);
        }
    }

    public static void main(String[] args) throws InterruptedException {
        LibCr libcr = Native.load(args[0] + "/lib/libcr.so.0", LibCr.class);
        int steps = Integer.parseInt(args[1]);
        int askAfter = Integer.parseInt(args[2]);
        long sum = 0;
        for (int step = 1; step <= steps; step++) {
            sum += step;
            System.out.println("step " + step + ": " + sum);
            if (step == askAfter) {
                ask(libcr);
            }
            Thread.sleep(1000);
        }
        System.out.println("sum " + sum);
    }
}
