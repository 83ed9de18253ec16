package io.caesura.flow;

import static io.caesura.fake.Codes.assertFails;
import static org.assertj.core.api.Assertions.assertThat;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.fake.FakePrograms;
import io.caesura.scheduler.ProgramRunner.Outcome;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

class AccountsTest {

    private final FakePrograms programs = new FakePrograms();
    private final Accounts accounts = new Accounts(programs);

    @Test
    void theHomeIsThatOfTheUserDatabase() throws CaesuraException {
        programs.on("getent passwd -- eva", "eva:x:1000:1000:Eva, room 3:/home/eva:/bin/bash\n");
        assertThat(accounts.home("eva")).isEqualTo(Path.of("/home/eva"));
    }

    @Test
    void whoIsNotInItHasNone() {
        programs.on("getent passwd -- nobody-knows", new Outcome(2, "", ""));
        assertFails(ErrorCode.EINVAL, "nobody-knows", () -> accounts.home("nobody-knows"));
        programs.on("getent passwd -- odd", "odd:x:1:1:::/bin/sh\n");
        assertFails(ErrorCode.EINVAL, "odd", () -> accounts.home("odd"));
    }
}
