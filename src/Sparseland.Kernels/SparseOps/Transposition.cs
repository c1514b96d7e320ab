using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Sparseland.Kernels.SparseOps;

/// <summary>Copies a small matrix transposed: pure data movement, in squares of 16 x 16 where registers are wide enough, so that whole lines are written, of 8 x 8 with 256 bits, and of 4 x 4 elsewhere.</summary>
internal static unsafe class Transposition
{
    private const int Side = 16;

    /// <summary>to[c * ldto + r] = from[r * ldfrom + c].</summary>
    /// <remarks>
    /// Squares follow each other along the rows of the side whose rows are further apart, which is the one that is in no near cache: 64 results of a linear layer, 1536 floats apart for each of 192 tokens, were written in 380 cycles a square (Zen 5)
    /// when each square was 16 rows further, and in 71 along the rows, four lines in a row. Requests ahead changed neither. Four rows after the other on a Zen 1, lines of an output 6 KB apart drove each other out of the first cache before they were full.
    /// </remarks>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Copy(float* from, nint ldfrom, int rows, int columns, float* to, nint ldto)
    {
        int r = 0;
        if (Avx.IsSupported)
        {
            int side = Avx512F.IsSupported ? Side : Side / 2;
            r = rows / side * side;
            int whole = columns / side * side;
            if (ldto > ldfrom)
            {
                for (int c = 0; c < whole; c += side)
                {
                    for (int s = 0; s < r; s += side) Square(from + s * ldfrom + c, ldfrom, to + c * ldto + s, ldto);
                }
            }
            else
            {
                for (int s = 0; s < r; s += side)
                {
                    for (int c = 0; c < whole; c += side) Square(from + s * ldfrom + c, ldfrom, to + c * ldto + s, ldto);
                }
            }
            if (whole < columns && r > 0) Small(from + whole, ldfrom, r, columns - whole, to + whole * ldto, ldto);
        }
        if (r < rows) Small(from + r * ldfrom, ldfrom, rows - r, columns, to + r, ldto);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Small(float* from, nint ldfrom, int rows, int columns, float* to, nint ldto)
    {
        int r = 0;
        for (; r + 4 <= rows; r += 4)
        {
            float* f = from + r * ldfrom;
            float* t = to + r;
            int c = 0;
            for (; c + 4 <= columns; c += 4)
            {
                Vector128<float> a = Vector128.Load(f + c), b = Vector128.Load(f + ldfrom + c);
                Vector128<float> d = Vector128.Load(f + 2 * ldfrom + c), e = Vector128.Load(f + 3 * ldfrom + c);
                Vector128<float> ab0 = UnpackLow(a, b), ab1 = UnpackHigh(a, b), de0 = UnpackLow(d, e), de1 = UnpackHigh(d, e);
                LowHalves(ab0, de0).Store(t + c * ldto);
                HighHalves(ab0, de0).Store(t + (c + 1) * ldto);
                LowHalves(ab1, de1).Store(t + (c + 2) * ldto);
                HighHalves(ab1, de1).Store(t + (c + 3) * ldto);
            }
            for (; c < columns; c++)
            {
                for (int i = 0; i < 4; i++) t[c * ldto + i] = f[i * ldfrom + c];
            }
        }
        for (; r < rows; r++)
        {
            for (int c = 0; c < columns; c++) to[c * ldto + r] = from[r * ldfrom + c];
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Square(float* from, nint ldfrom, float* to, nint ldto)
    {
        if (!Avx512F.IsSupported)
        {
            // Halves: the first four columns, then the others.
            Half(from, ldfrom, to, ldto);
            Half(from + 4, ldfrom, to + 4 * ldto, ldto);
            return;
        }
        // Four rows at a time: quarter q of abcd[i] holds elements 4q + i of rows 4g .. 4g + 3.
        Four(from, ldfrom, out Vector512<float> a0, out Vector512<float> a1, out Vector512<float> a2, out Vector512<float> a3);
        Four(from + 4 * ldfrom, ldfrom, out Vector512<float> b0, out Vector512<float> b1, out Vector512<float> b2, out Vector512<float> b3);
        Four(from + 8 * ldfrom, ldfrom, out Vector512<float> c0, out Vector512<float> c1, out Vector512<float> c2, out Vector512<float> c3);
        Four(from + 12 * ldfrom, ldfrom, out Vector512<float> d0, out Vector512<float> d1, out Vector512<float> d2, out Vector512<float> d3);
        Quarters(a0, b0, c0, d0, to, ldto);
        Quarters(a1, b1, c1, d1, to + ldto, ldto);
        Quarters(a2, b2, c2, d2, to + 2 * ldto, ldto);
        Quarters(a3, b3, c3, d3, to + 3 * ldto, ldto);
    }

    // Four elements of eight rows: row i beside row i + 4 in one register, then as in a square of 4 x 4.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Half(float* from, nint ldfrom, float* to, nint ldto)
    {
        float* under = from + 4 * ldfrom;
        Vector256<float> a = Vector256.Create(Vector128.Load(from), Vector128.Load(under)), b = Vector256.Create(Vector128.Load(from + ldfrom), Vector128.Load(under + ldfrom));
        Vector256<float> c = Vector256.Create(Vector128.Load(from + 2 * ldfrom), Vector128.Load(under + 2 * ldfrom)), d = Vector256.Create(Vector128.Load(from + 3 * ldfrom), Vector128.Load(under + 3 * ldfrom));
        Vector256<float> ab0 = Avx.UnpackLow(a, b), ab1 = Avx.UnpackHigh(a, b), cd0 = Avx.UnpackLow(c, d), cd1 = Avx.UnpackHigh(c, d);
        Avx.Shuffle(ab0, cd0, 0x44).Store(to);
        Avx.Shuffle(ab0, cd0, 0xEE).Store(to + ldto);
        Avx.Shuffle(ab1, cd1, 0x44).Store(to + 2 * ldto);
        Avx.Shuffle(ab1, cd1, 0xEE).Store(to + 3 * ldto);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Four(float* from, nint ldfrom, out Vector512<float> e0, out Vector512<float> e1, out Vector512<float> e2, out Vector512<float> e3)
    {
        Vector512<float> a = Vector512.Load(from), b = Vector512.Load(from + ldfrom), c = Vector512.Load(from + 2 * ldfrom), d = Vector512.Load(from + 3 * ldfrom);
        Vector512<double> ab0 = Avx512F.UnpackLow(a, b).AsDouble(), ab1 = Avx512F.UnpackHigh(a, b).AsDouble(), cd0 = Avx512F.UnpackLow(c, d).AsDouble(), cd1 = Avx512F.UnpackHigh(c, d).AsDouble();
        e0 = Avx512F.UnpackLow(ab0, cd0).AsSingle();
        e1 = Avx512F.UnpackHigh(ab0, cd0).AsSingle();
        e2 = Avx512F.UnpackLow(ab1, cd1).AsSingle();
        e3 = Avx512F.UnpackHigh(ab1, cd1).AsSingle();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Quarters(Vector512<float> a, Vector512<float> b, Vector512<float> c, Vector512<float> d, float* to, nint ldto)
    {
        Vector512<float> ab0 = Avx512F.Shuffle4x128(a, b, 0b10_00_10_00), ab1 = Avx512F.Shuffle4x128(a, b, 0b11_01_11_01), cd0 = Avx512F.Shuffle4x128(c, d, 0b10_00_10_00), cd1 = Avx512F.Shuffle4x128(c, d, 0b11_01_11_01);
        Avx512F.Shuffle4x128(ab0, cd0, 0b10_00_10_00).Store(to);
        Avx512F.Shuffle4x128(ab1, cd1, 0b10_00_10_00).Store(to + 4 * ldto);
        Avx512F.Shuffle4x128(ab0, cd0, 0b11_01_11_01).Store(to + 8 * ldto);
        Avx512F.Shuffle4x128(ab1, cd1, 0b11_01_11_01).Store(to + 12 * ldto);
    }

    // Halves of 64 bits are slow on x64, so SSE's own moves are named.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> UnpackLow(Vector128<float> a, Vector128<float> b) => Sse.IsSupported
        ? Sse.UnpackLow(a, b)
        : Vector128.Create(a.GetElement(0), b.GetElement(0), a.GetElement(1), b.GetElement(1));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> UnpackHigh(Vector128<float> a, Vector128<float> b) => Sse.IsSupported
        ? Sse.UnpackHigh(a, b)
        : Vector128.Create(a.GetElement(2), b.GetElement(2), a.GetElement(3), b.GetElement(3));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> LowHalves(Vector128<float> a, Vector128<float> b) => Sse.IsSupported
        ? Sse.MoveLowToHigh(a, b)
        : Vector128.Create(a.GetLower(), b.GetLower());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> HighHalves(Vector128<float> a, Vector128<float> b) => Sse.IsSupported
        ? Sse.MoveHighToLow(b, a)
        : Vector128.Create(a.GetUpper(), b.GetUpper());
}
