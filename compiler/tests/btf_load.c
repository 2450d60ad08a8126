// Gives BTF blobs to the kernel: from stdin, each behind its length in four bytes. Prints 0 or an errno for each, and what the kernel
// says.
// Built and run by kernel_oracle.rs.

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/bpf.h>
#include <sys/syscall.h>

// What the kernel complains about is its last line.
static const char *last_line(char *text)
{
    size_t length = strlen(text);

    while (length && text[length - 1] == '\n')
        text[--length] = 0;
    return strrchr(text, '\n') ? strrchr(text, '\n') + 1 : text;
}

int main(void)
{
    static char said[1 << 24];
    uint32_t size;

    while (fread(&size, sizeof size, 1, stdin) == 1) {
        void *blob = malloc(size + 1);
        union bpf_attr attr;
        int fd;

        if (!blob || fread(blob, 1, size, stdin) != size)
            return 1;
        memset(&attr, 0, sizeof attr);
        attr.btf = (uint64_t)(uintptr_t)blob;
        attr.btf_size = size;
        said[0] = 0;
        attr.btf_log_buf = (uint64_t)(uintptr_t)said;
        attr.btf_log_size = sizeof said;
        attr.btf_log_level = 1;
        fd = syscall(SYS_bpf, BPF_BTF_LOAD, &attr, sizeof attr);
        printf("%d %s\n", fd < 0 ? errno : 0, fd < 0 ? last_line(said) : "");
        if (fd >= 0)
            close(fd);
        free(blob);
    }
    return 0;
}
