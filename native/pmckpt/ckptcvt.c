/*
 * ckptcvt [NAME] < prog.c > tmp.c
 *
 * Turns the CKPT lines of a C source into the macros of pmckpt.h. Each line becomes one line, and a #line in front
 * names the original, so that compilers and debuggers point into the file that people edit.
 */
#include <ctype.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EXIT_USAGE = 255, WORDS_MAX = 6 };

/* Where we are in the routine at hand. */
enum stage { OUTSIDE, BELOW_VARS, BELOW_TOPS };

struct name {
    struct name *next;
    unsigned long line;
    char text[];
};

struct converter {
    const char *source;
    unsigned long line;
    unsigned long vars_line;
    enum stage stage;
    struct name *names; /* x and y of the routine's points */
    bool in_comment;    /* inside of a comment at the start of the line */
    bool failed;
};

/*
 * Reports an error in the source. The #error that takes the line's place makes the compiler stop, too, should nobody
 * look at the exit status.
 */
static void complain(struct converter *cv, const char *what, const char *remedy)
{
    fprintf(stderr, "ckptcvt: %s:%lu: %s; %s\n", cv->source, cv->line, what, remedy);
    printf("#error ckptcvt: %s\n", what);
    cv->failed = true;
}

static void *allocate(size_t bytes)
{
    void *memory = malloc(bytes);

    if (!memory) {
        fputs("ckptcvt: out of memory; free some and run it again\n", stderr);
        exit(EXIT_FAILURE);
    }
    return memory;
}

static void forget_names(struct converter *cv)
{
    while (cv->names) {
        struct name *next = cv->names->next;

        free(cv->names);
        cv->names = next;
    }
}

static bool is_identifier(const char *text)
{
    if (!isalpha((unsigned char)*text) && *text != '_')
        return false;
    while (isalnum((unsigned char)*text) || *text == '_')
        text++;
    return *text == '\0';
}

/* Returns whether the name is new in this routine, and takes note of it. */
static bool claim_name(struct converter *cv, const char *text)
{
    size_t bytes = strlen(text) + 1;
    char what[512];
    struct name *name;

    for (name = cv->names; name; name = name->next) {
        if (strcmp(name->text, text) == 0) {
            snprintf(what, sizeof(what), "the name %.200s is already used by the CKPT POINT of line %lu", text,
                     name->line);
            complain(cv, what, "choose another name");
            return false;
        }
    }
    name = allocate(sizeof(*name) + bytes);
    memcpy(name->text, text, bytes);
    name->line = cv->line;
    name->next = cv->names;
    cv->names = name;
    return true;
}

static void convert_vars(struct converter *cv)
{
    char what[128];

    if (cv->stage != OUTSIDE) {
        snprintf(what, sizeof(what), "CKPT VARS, but the routine with the CKPT VARS of line %lu has no CKPT BOTS",
                 cv->vars_line);
        complain(cv, what, "put CKPT BOTS before that routine's final }");
    } else {
        puts("CKPT_VARS");
    }
    forget_names(cv);
    cv->vars_line = cv->line;
    cv->stage = BELOW_VARS;
}

static void convert_tops(struct converter *cv)
{
    if (cv->stage == OUTSIDE)
        complain(cv, "CKPT TOPS without CKPT VARS", "put CKPT VARS right after the routine's {");
    else if (cv->stage == BELOW_TOPS)
        complain(cv, "a second CKPT TOPS in one routine", "remove one, or end the routine above with CKPT BOTS");
    else
        puts("CKPT_TOPS");
    /* Also after an error, so that the lines below are not reported for want of it. */
    if (cv->stage == OUTSIDE)
        cv->vars_line = cv->line;
    cv->stage = BELOW_TOPS;
}

static void convert_point(struct converter *cv, const char *x, const char *y)
{
    if (cv->stage != BELOW_TOPS) {
        complain(cv, "CKPT POINT without CKPT TOPS above it",
                 "put CKPT VARS after the routine's { and CKPT TOPS after its variables");
    } else if (!is_identifier(x) || !is_identifier(y)) {
        complain(cv, "CKPT POINT takes two names as C knows them", "write CKPT POINT x y with a variable and a label");
    } else if (claim_name(cv, x) && claim_name(cv, y)) {
        printf("CKPT_POINT(%s, %s)\n", x, y);
    }
}

static void convert_bots(struct converter *cv)
{
    if (cv->stage == OUTSIDE)
        complain(cv, "CKPT BOTS without CKPT VARS", "put CKPT VARS right after the routine's {");
    else if (cv->stage == BELOW_VARS)
        complain(cv, "CKPT BOTS without CKPT TOPS", "put CKPT TOPS after the routine's variables");
    else
        puts("CKPT_BOTS");
    cv->stage = OUTSIDE;
}

/* Converts a line whose first word is CKPT. */
static void convert_ckpt(struct converter *cv, char *line)
{
    static const char remedy[] = "the lines are CKPT VARS, CKPT TOPS, CKPT POINT x y and CKPT BOTS";
    char *word[WORDS_MAX];
    char what[300];
    char *rest = line;
    int words = 0;

    while (words < WORDS_MAX && (word[words] = strsep(&rest, " \t\r\n\v\f")))
        words += word[words][0] != '\0';

    if (words == 2 && strcmp(word[1], "VARS") == 0)
        convert_vars(cv);
    else if (words == 2 && strcmp(word[1], "TOPS") == 0)
        convert_tops(cv);
    else if (words == 4 && strcmp(word[1], "POINT") == 0)
        convert_point(cv, word[2], word[3]);
    else if (words == 2 && strcmp(word[1], "BOTS") == 0)
        convert_bots(cv);
    else if (words >= 2 && strcmp(word[1], "POINT") == 0)
        complain(cv, "CKPT POINT takes two names, alone on the line", "write CKPT POINT x y");
    else {
        snprintf(what, sizeof(what), "unknown line CKPT %.200s", words > 1 ? word[1] : "");
        complain(cv, what, remedy);
    }
}

/* Follows comments over a line of C. Quotes are followed as well, as they can hide the marks of a comment. */
static void follow_comments(struct converter *cv, const char *line, size_t length)
{
    char quote = '\0';

    for (size_t i = 0; i < length; i++) {
        int next = i + 1 < length ? line[i + 1] : '\0';

        if (cv->in_comment) {
            if (line[i] == '*' && next == '/') {
                cv->in_comment = false;
                i++;
            }
        } else if (quote) {
            if (line[i] == '\\')
                i++;
            else if (line[i] == quote)
                quote = '\0';
        } else if (line[i] == '"' || line[i] == '\'') {
            quote = line[i];
        } else if (line[i] == '/' && next == '/') {
            return;
        } else if (line[i] == '/' && next == '*') {
            cv->in_comment = true;
            i++;
        }
    }
}

static bool is_ckpt_line(const struct converter *cv, const char *line)
{
    return !cv->in_comment && strncmp(line, "CKPT", 4) == 0 && (line[4] == '\0' || isspace((unsigned char)line[4]));
}

/* Returns false if standard input could not be read. */
static bool convert(struct converter *cv)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    bool ended = true;

    while ((length = getline(&line, &room, stdin)) > 0) {
        cv->line++;
        if (is_ckpt_line(cv, line)) {
            convert_ckpt(cv, line);
        } else {
            follow_comments(cv, line, length);
            fwrite(line, 1, length, stdout);
            ended = line[length - 1] == '\n';
        }
    }
    free(line);
    if (!ended)
        putchar('\n');
    if (cv->stage != OUTSIDE) {
        char what[128];

        snprintf(what, sizeof(what), "end of file, but the CKPT VARS of line %lu has no CKPT BOTS", cv->vars_line);
        complain(cv, what, "put CKPT BOTS before the routine's final }");
    }
    forget_names(cv);
    return !ferror(stdin);
}

/* The name of the file on standard input, relative to the current folder if it is in there, else "<stdin>". */
static const char *name_of_input(void)
{
    static char path[PATH_MAX];
    char folder[PATH_MAX];
    struct stat opened, named;
    size_t folder_length;
    ssize_t length = readlink("/proc/self/fd/0", path, sizeof(path) - 1);

    if (length <= 0)
        return "<stdin>";
    path[length] = '\0';
    if (fstat(0, &opened) || !S_ISREG(opened.st_mode) || stat(path, &named) || opened.st_ino != named.st_ino)
        return "<stdin>";
    if (!getcwd(folder, sizeof(folder)))
        return path;
    folder_length = strlen(folder);
    if (strncmp(path, folder, folder_length) == 0 && path[folder_length] == '/')
        return path + folder_length + 1;
    return path;
}

static void print_line_directive(const char *name)
{
    fputs("#line 1 \"", stdout);
    for (; *name; name++) {
        if (*name == '"' || *name == '\\')
            putchar('\\');
        putchar(*name);
    }
    puts("\"");
}

int main(int argc, char **argv)
{
    struct converter cv = {0};
    bool read_all;

    if (argc > 2 || (argc == 2 && argv[1][0] == '-')) {
        fputs("usage: ckptcvt [NAME] < prog.c > tmp.c\n"
              "Turns CKPT lines into C. NAME is what compilers shall call the source; default: the file's own name.\n",
              stderr);
        return EXIT_USAGE;
    }
    cv.source = argc == 2 ? argv[1] : name_of_input();
    print_line_directive(cv.source);
    read_all = convert(&cv);
    if (!read_all) {
        fprintf(stderr, "ckptcvt: %s cannot be read: %m; check the file\n", cv.source);
        return EXIT_FAILURE;
    }
    if (fflush(stdout) || ferror(stdout)) {
        fprintf(stderr, "ckptcvt: the result for %s cannot be written: %m; check the disk\n", cv.source);
        return EXIT_FAILURE;
    }
    return cv.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
