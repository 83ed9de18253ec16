package io.caesura.cli;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import picocli.CommandLine;
import picocli.CommandLine.ParameterException;

/** Entry of the engine: the first argument is the command's name, the others are the user's. */
public final class Main {

    private final Services services;
    private final Map<String, String> environment;
    private final PrintStream out;
    private final PrintStream err;

    public Main(Services services, Map<String, String> environment, PrintStream out, PrintStream err) {
        this.services = services;
        this.environment = environment;
        this.out = out;
        this.err = err;
    }

    /** Runs a command and ends the JVM with its exit status. */
    public static void main(String[] args) {
        Map<String, String> environment = System.getenv();
        Optional<Path> prefix =
                Optional.ofNullable(environment.get("CAESURA_PREFIX")).map(Path::of);
        PrintStream out = stream(FileDescriptor.out);
        PrintStream err = stream(FileDescriptor.err);
        int status = new Main(new NativeServices(prefix), environment, out, err).run(args);
        out.flush();
        System.exit(status);
    }

    /** File names are bytes that the JVM reads as UTF-8, so that is how they are printed. */
    private static PrintStream stream(FileDescriptor descriptor) {
        return new PrintStream(new FileOutputStream(descriptor), true, StandardCharsets.UTF_8);
    }

    /** @return the exit status */
    public int run(String... args) {
        if (args.length == 0) {
            err.println("caesura: no command; use cr_checkpoint, cr_restart, cr_info or cr_job");
            return ErrorCode.EUSAGE.code();
        }
        Console console = new Console(args[0], out, err);
        if (args.length == 4 && PolicyCommand.BRIEF.equals(Arrays.asList(args).subList(0, 3))) {
            return brief(console, args[3]);
        }
        Optional<Subject> subject = subject(args[0], console);
        if (subject.isEmpty()) {
            console.say("no such command; use cr_checkpoint, cr_restart, cr_info or cr_job");
            return ErrorCode.EUSAGE.code();
        }
        return run(subject.get(), console, Arrays.copyOfRange(args, 1, args.length));
    }

    /** Submission waits for this one, and half of its time would go into reading a command line that is always the same. */
    private int brief(Console console, String spec) {
        try {
            new PolicyCommand(console, services).brief(spec);
            return 0;
        } catch (CaesuraException e) {
            console.failure(e);
            return e.code().code();
        }
    }

    private Optional<Subject> subject(String command, Console console) {
        return Optional.ofNullable(
                switch (command) {
                    case "cr_checkpoint" -> new CheckpointCommand(console, services);
                    case "cr_restart" -> new RestartCommand(console, services, PlanOutput.of(environment));
                    case "cr_info" -> new InfoCommand(console, services);
                    case "cr_job" -> new JobCommand(console, services);
                    case "agent" -> new AgentCommand(console, services, environment);
                    default -> null;
                });
    }

    private int run(Subject subject, Console console, String[] args) {
        CommandLine called = CommandLines.of(subject);
        try {
            try {
                CommandLine.ParseResult parsed = called.parseArgs(CommandLines.prepare(args));
                while (parsed.hasSubcommand()) {
                    parsed = parsed.subcommand();
                }
                called = parsed.commandSpec().commandLine();
                if (parsed.isUsageHelpRequested()) {
                    out.print(Usage.text(called.getCommandSpec()));
                    return 0;
                }
                if (parsed.isVersionHelpRequested()) {
                    out.println(console.command() + " version " + Version.current());
                    return 0;
                }
                return subject(called).run();
            } catch (ParameterException e) {
                called = e.getCommandLine();
                throw new UsageException(String.valueOf(e.getMessage()));
            }
        } catch (UsageException e) {
            return usageError(console, called, args, e);
        } catch (CaesuraException e) {
            console.failure(e);
            return e.status();
        }
    }

    private static Subject subject(CommandLine called) {
        return called.getCommand();
    }

    private static int usageError(Console console, CommandLine called, String[] args, UsageException error) {
        try {
            Optional<Integer> status = subject(called).onUsageError();
            if (status.isPresent()) {
                return status.get();
            }
        } catch (CaesuraException e) {
            console.failure(e);
            return e.status();
        }
        // Parsing stopped at the error, which may be in front of the option.
        List<String> words = List.of(args);
        console.setQuiet(console.isQuiet() || words.contains("-q") || words.contains("--quiet"));
        console.say(String.valueOf(error.getMessage()));
        console.line(Usage.synopsis(called.getCommandSpec()));
        console.line("hint: see " + called.getCommandSpec().qualifiedName() + " --help");
        return ErrorCode.EUSAGE.code();
    }
}
