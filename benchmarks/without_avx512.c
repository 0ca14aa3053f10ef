/* Preloaded by without_avx512.py: the processor says that it has no AVX-512 and no AMX.

Linux lets a thread have its CPUID instructions refused (arch_prctl(2), ARCH_SET_CPUID). A refused one arrives as a segmentation fault, and
the answer given here is the processor's without those features. Threads inherit the setting; a new program loads this library again. A
program that handles segmentation faults itself, as GCC does, is told that it may, and is not asked. */
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <cpuid.h>
#include <dlfcn.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define BIT(place) (1u << (place))

/* Intel's manual, volume 2, CPUID, leaf 7: F, DQ, IFMA, PF, ER, CD, BW, VL | VBMI, VBMI2, VNNI, BITALG, VPOPCNTDQ |
   4VNNIW, 4FMAPS, VP2INTERSECT, AMX-BF16, FP16, AMX-TILE, AMX-INT8; and of its subleaf 1: AVX-VNNI, AVX512-BF16, AMX-FP16. */
static const unsigned SECOND = BIT(16) | BIT(17) | BIT(21) | BIT(26) | BIT(27) | BIT(28) | BIT(30) | BIT(31);
static const unsigned THIRD = BIT(1) | BIT(6) | BIT(11) | BIT(12) | BIT(14);
static const unsigned FOURTH = BIT(2) | BIT(3) | BIT(8) | BIT(22) | BIT(23) | BIT(24) | BIT(25);
static const unsigned MORE = BIT(4) | BIT(5) | BIT(21);

static void refuse_cpuid(int refused) { syscall(SYS_arch_prctl, ARCH_SET_CPUID, !refused); }

static void set(const struct sigaction *action) {
    int (*real)(int, const struct sigaction *, struct sigaction *) = dlsym(RTLD_NEXT, "sigaction");
    real(SIGSEGV, action, 0);
}

int sigaction(int number, const struct sigaction *action, struct sigaction *before) {
    int (*real)(int, const struct sigaction *, struct sigaction *) = dlsym(RTLD_NEXT, "sigaction");
    if (number != SIGSEGV) return real(number, action, before);
    if (before) memset(before, 0, sizeof *before);
    return 0;
}

sighandler_t signal(int number, sighandler_t handler) {
    sighandler_t (*real)(int, sighandler_t) = dlsym(RTLD_NEXT, "signal");
    return number == SIGSEGV ? SIG_DFL : real(number, handler);
}

static void answer(int number, siginfo_t *information, void *context) {
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    const unsigned char *instruction = (const unsigned char *)registers[REG_RIP];
    if (instruction[0] != 0x0f || instruction[1] != 0xa2) { /* a real fault: it happens again and ends the program */
        struct sigaction none = {.sa_handler = SIG_DFL};
        set(&none);
        return;
    }
    unsigned leaf = registers[REG_RAX], subleaf = registers[REG_RCX], a, b, c, d;
    refuse_cpuid(0);
    __cpuid_count(leaf, subleaf, a, b, c, d);
    refuse_cpuid(1);
    if (leaf == 7 && subleaf == 0) b &= ~SECOND, c &= ~THIRD, d &= ~FOURTH;
    if (leaf == 7 && subleaf == 1) a &= ~MORE;
    registers[REG_RAX] = a, registers[REG_RBX] = b, registers[REG_RCX] = c, registers[REG_RDX] = d;
    registers[REG_RIP] += 2;
}

__attribute__((constructor)) static void start(void) {
    struct sigaction action = {0};
    action.sa_sigaction = answer;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    set(&action);
    if (syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0)) {
        static const char line[] = "error: this processor or its virtual machine cannot hide features (cpuid_fault in /proc/cpuinfo)\n";
        (void)!write(2, line, sizeof line - 1);
        _exit(2);
    }
}
