/* SPDX-License-Identifier: GPL-2.0-only */
/* Calculations in long double, double and float, as a compiler makes x87 code of them, without
 * a libc. Each prints the bits of its result; as pid 1 the program then switches the machine
 * off. Chaotic recurrences and ill-conditioned matrices make any wrong bit a wrong result.
 */
typedef long double ld;
typedef unsigned long u64;
typedef long s64;
#define NOINLINE __attribute__((noinline))

static long sc(long n, long a, long b, long c)
{
	long r;
	__asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return r;
}

static char line[128];
static int len;

static void c(char ch) { line[len++] = ch; }
static void s(const char *p) { while (*p) c(*p++); }
static void hex(u64 v, int digits) { while (digits--) c("0123456789abcdef"[v >> 4 * digits & 15]); }
static void end(void) { c('\n'); sc(1, 1, (long)line, len); len = 0; }

static NOINLINE void put(const char *name, ld v)
{
	union { ld v; struct { u64 sig; unsigned short se; } b; } u = { v };
	s("x87: "); s(name); c(' '); hex(u.b.se, 4); c('.'); hex(u.b.sig, 16); end();
}

static NOINLINE void put_int(const char *name, u64 v)
{
	s("x87: "); s(name); c(' '); hex(v, 16); end();
}

static u64 seed = 88172645463325252ul;
static u64 any(void) { seed ^= seed << 13; seed ^= seed >> 7; seed ^= seed << 17; return seed; }

static NOINLINE ld logistic(int n)
{
	ld x = 0.3L;
	while (n--) x = 3.99L * x * (1 - x);
	return x;
}

static NOINLINE ld logistic_double(int n)
{
	volatile double x = 0.3;
	while (n--) x = 3.99 * x * (1 - x);
	return x;
}

static NOINLINE ld logistic_float(int n)
{
	volatile float x = 0.3f;
	while (n--) x = 3.99f * x * (1 - x);
	return x;
}

static NOINLINE ld exponential(ld x)
{
	ld sum = 1, term = 1;
	for (int i = 1; i < 60; i++) { term = term * x / i; sum += term; }
	return sum;
}

static NOINLINE ld sine(ld x)
{
	ld sum = x, term = x;
	for (int i = 1; i < 30; i++) { term = -term * x * x / (2 * i * (2 * i + 1)); sum += term; }
	return sum;
}

/* The inverse of a Hilbert matrix, by elimination; the sum of its elements is 100. */
static NOINLINE ld hilbert(void)
{
	enum { N = 10 };
	static ld a[N][2 * N];
	for (int i = 0; i < N; i++)
		for (int j = 0; j < N; j++) { a[i][j] = 1.0L / (i + j + 1); a[i][N + j] = i == j; }
	for (int k = 0; k < N; k++) {
		int p = k;
		for (int i = k + 1; i < N; i++)
			if (__builtin_fabsl(a[i][k]) > __builtin_fabsl(a[p][k])) p = i;
		for (int j = 0; j < 2 * N; j++) { ld t = a[k][j]; a[k][j] = a[p][j]; a[p][j] = t; }
		ld d = a[k][k];
		for (int j = 0; j < 2 * N; j++) a[k][j] /= d;
		for (int i = 0; i < N; i++) {
			ld f = a[i][k];
			if (i != k) for (int j = 0; j < 2 * N; j++) a[i][j] -= f * a[k][j];
		}
	}
	ld sum = 0;
	for (int i = 0; i < N; i++) for (int j = 0; j < N; j++) sum += a[i][N + j];
	return sum;
}

/* To integers of each size and back, through each format. */
static NOINLINE u64 conversions(int n)
{
	u64 h = 0;
	while (n--) {
		u64 bits = any() >> (any() & 63);
		ld x = (ld)(s64)bits * (ld)(1.0 / 1024);
		volatile double d = x;
		volatile float f = x;
		s64 parts[] = { (s64)x, (int)f, (short)(int)(d / 65536), (s64)(u64)(x < 0 ? -x : x), (s64)(ld)bits, (unsigned)(s64)d };
		for (unsigned i = 0; i < sizeof parts / sizeof *parts; i++) h = (h ^ parts[i]) * 1099511628211ul;
	}
	return h;
}

/* Order, with a NaN and both infinities among the numbers; smallest and largest without branches. */
NOINLINE __attribute__((optimize("no-fast-math"))) u64 ordering(int n)
{
	ld v[8] = { 0, -0.0L, 1, -1, __builtin_infl(), -__builtin_infl(), __builtin_nanl(""), 1e-4940L };
	u64 h = 0;
	while (n--) {
		ld a = v[any() & 7] * 2, b = v[any() & 7];
		ld low = a < b ? a : b, high = a > b ? a : b;
		h = h * 31 + (a < b) + 2 * (a <= b) + 4 * (a == b) + 8 * (a != b) + 16 * (a >= b) + 32 * __builtin_isunordered(a, b)
			+ 64 * (low < 1) + 128 * (high > 1) + 256 * !!__builtin_signbit(low);
	}
	return h;
}

/* What -ffast-math makes instructions of. */
static NOINLINE ld inlined(int n)
{
	ld sum = 0;
	while (n--) {
		ld x = (ld)(s64)any() / (1ul << 40), y = (ld)(int)(any() | 1) / 4096;
		sum += __builtin_sqrtl(__builtin_fabsl(x)) + __builtin_rintl(x) - __builtin_floorl(y) + __builtin_ceill(y);
		sum += __builtin_fmodl(x, y) + __builtin_truncl(x / y) + __builtin_copysignl(y, x);
	}
	return sum;
}

void run(void)
{
	put("logistic", logistic(3000));
	put("logistic_double", logistic_double(1000));
	put("logistic_float", logistic_float(1000));
	put("exponential", exponential(1));
	put("exponential_small", exponential(-20));
	put("sine", sine(3.25L));
	put("hilbert", hilbert());
	put("inlined", inlined(300));
	put("denormal", logistic(10) * 1e-4940L / 3);
	put("overflow", logistic(10) * 1e4932L * 1e10L);
	put_int("conversions", conversions(500));
	put_int("ordering", ordering(500));
	s("x87: done"); end();
	if (sc(39, 0, 0, 0) == 1)
		sc(169, 0xfee1dead, 672274793, 0x4321fedc);
	sc(231, 0, 0, 0);
}

__asm__(".globl _start\n_start: and $-16, %rsp\n call run\n ud2\n");
