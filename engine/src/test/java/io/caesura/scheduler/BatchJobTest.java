package io.caesura.scheduler;

import static io.caesura.fake.Codes.assertFails;
import static org.assertj.core.api.Assertions.assertThat;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import java.util.Map;
import org.junit.jupiter.api.Test;

class BatchJobTest {

    @Test
    void slurm() throws CaesuraException {
        assertThat(BatchJob.of("slurm", Map.of("SLURM_JOB_ID", "17", "SLURM_CLUSTER_NAME", "lab")))
                .isEqualTo(new BatchJob("slurm", "17", "lab", "17"));
    }

    @Test
    void aStepOfItsOwn() throws CaesuraException {
        Map<String, String> step = Map.of("SLURM_JOB_ID", "17", "SLURM_CLUSTER_NAME", "lab", "SLURM_STEP_ID", "0");
        assertThat(BatchJob.of("slurm", step)).isEqualTo(new BatchJob("slurm", "17", "lab", "17.0"));
        Map<String, String> batch = Map.of("SLURM_JOB_ID", "17", "SLURM_STEP_ID", "4294967291");
        assertThat(BatchJob.of("slurm", batch).name()).isEqualTo("17");
    }

    @Test
    void pbs() throws CaesuraException {
        assertThat(BatchJob.of("pbs", Map.of("PBS_JOBID", "12.server.site")))
                .isEqualTo(new BatchJob("pbs", "12.server.site", "server.site", "12"));
        assertThat(BatchJob.of("pbs", Map.of("PBS_JOBID", "12[3].server")).name())
                .isEqualTo("12_3");
    }

    @Test
    void namesThatWouldLeaveTheStore() {
        Map<String, String> environment = Map.of("SLURM_JOB_ID", "17", "SLURM_CLUSTER_NAME", "../../etc");
        assertFails(ErrorCode.EENGINE, "../../etc", () -> BatchJob.of("slurm", environment));
        assertFails(ErrorCode.EENGINE, "SLURM_JOB_ID is not set", () -> BatchJob.of("slurm", Map.of()));
        assertFails(ErrorCode.EENGINE, "unknown batch system 'lsf'", () -> BatchJob.of("lsf", Map.of()));
    }
}
