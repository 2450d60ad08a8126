// Prints what libbpf thinks of the programs of BPF objects: path, name, section, type, expected attach type.
// Built and run by objects.rs.

#include <stdarg.h>
#include <stdio.h>

#include <bpf/libbpf.h>

static int quiet(enum libbpf_print_level level, const char *format, va_list arguments)
{
    return level == LIBBPF_WARN ? vfprintf(stderr, format, arguments) : 0;
}

int main(int count, char **paths)
{
    struct bpf_program *program;

    libbpf_set_print(quiet);
    for (int at = 1; at < count; at++) {
        struct bpf_object *object = bpf_object__open(paths[at]);

        if (!object) {
            fprintf(stderr, "%s is not opened\n", paths[at]);
            return 1;
        }
        bpf_object__for_each_program(program, object)
            printf("%s\t%s\t%s\t%d\t%d\n", paths[at], bpf_program__name(program), bpf_program__section_name(program),
                   bpf_program__type(program), bpf_program__expected_attach_type(program));
        bpf_object__close(object);
    }
    return 0;
}
