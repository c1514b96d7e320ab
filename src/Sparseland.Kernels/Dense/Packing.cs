using System.Numerics.Tensors;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Sparseland.Kernels.Dense;

/// <summary>Copies matrices into the panels that <see cref="MicroKernel"/> reads in order.</summary>
internal static unsafe class Packing
{
    /// <summary>The longest inner dimension of a panel: 32 columns of it take 24 KiB, so that half of a first-level cache is left for what a neighbour on a busy machine brings in.</summary>
    private const int LongestBlock = 192;

    /// <summary>The length of the blocks that k is cut into: equal up to rounding, the same on every instruction set.</summary>
    public static int BlockLength(int k)
    {
        if (k <= LongestBlock) return Math.Max(k, 1);
        int blocks = (k + LongestBlock - 1) / LongestBlock;
        return (((k + blocks - 1) / blocks) + 7) & ~7;
    }

    /// <summary>
    /// Panels of a left operand, one behind the other: each [k, panel] = alpha * its rows of source [rows, k] (row-major, or its transpose),
    /// rows of the last one up to <paramref name="panel"/> filled with zeros.
    /// </summary>
    public static void Left(bool transposed, float* source, nint ld, int rows, int k, int panel, float alpha, float* target)
    {
        if (transposed) CopyPanels(source, ld, k, rows, panel, target);
        else TransposePanels(source, ld, rows, k, panel, target);
        if (alpha == 1f) return;
        var values = new Span<float>(target, checked(k * ((rows + panel - 1) / panel * panel)));
        TensorPrimitives.Multiply(values, alpha, values);
    }

    /// <summary>
    /// Panels of a right operand, one behind the other: each [k, panel] = its columns of source [k, columns] (row-major, or its transpose),
    /// columns of the last one up to <paramref name="panel"/> filled with zeros.
    /// </summary>
    public static void Right(bool transposed, float* source, nint ld, int k, int columns, int panel, float* target)
    {
        if (transposed) TransposePanels(source, ld, columns, k, panel, target);
        else CopyPanels(source, ld, k, columns, panel, target);
    }

    // Panels [k, panel] from source rows of length width. All panels take their piece of two rows before the next two are read: rows
    // of a large matrix lie pages apart, and panel after panel would come back to every line and page of them after they have left
    // the first cache. Asking for rows ahead brought nothing, here and where rows are transposed.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void CopyPanels(float* source, nint ld, int k, int width, int panel, float* target)
    {
        bool six = panel == 6;
        int whole = (panel & 7) == 0 || six ? width / panel * panel : 0;
        nint length = (nint)k * panel;
        if (whole > 0)
        {
            int p = 0;
            for (; p + 2 <= k; p += 2)
            {
                float* s = source + (p * ld);
                float* t = target + ((nint)p * panel);
                for (int i = 0; i < whole; i += panel)
                {
                    if (six)
                    {
                        CopySix(s + i, t);
                        CopySix(s + ld + i, t + 6);
                        t += length;
                        continue;
                    }
                    for (int j = 0; j < panel; j += 8)
                    {
                        Vector256.Load(s + i + j).Store(t + j);
                        Vector256.Load(s + ld + i + j).Store(t + panel + j);
                    }
                    t += length;
                }
            }
            if (p < k)
            {
                for (int i = 0; i < whole; i++) target[(i / panel * length) + ((nint)p * panel) + (i % panel)] = source[(p * ld) + i];
            }
        }
        for (int i = whole; i < width; i += panel) CopyPanel(source + i, ld, k, Math.Min(panel, width - i), panel, target + ((nint)i * k));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void CopySix(float* from, float* to)
    {
        Vector128.Load(from).Store(to);
        Vector64.Load(from + 4).Store(to + 4);
    }

    // One panel that is not full.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void CopyPanel(float* source, nint ld, int k, int width, int panel, float* target)
    {
        int masked = Avx.IsSupported && (panel & 7) == 0 ? panel : 0;
        for (int j = 0; j < masked; j += 8)
        {
            // Lanes without a column are not read: behind the last row nothing may be.
            Vector256<float> kept = Vector256.LessThan(Vector256<int>.Indices, Vector256.Create(width - j)).AsSingle();
            float* s = source + j, t = target + j;
            for (int p = 0; p < k; p++)
            {
                Avx.MaskLoad(s, kept).Store(t);
                s += ld;
                t += panel;
            }
        }
        for (int p = 0; masked == 0 && p < k; p++)
        {
            for (int j = 0; j < panel; j++) target[j] = j < width ? source[j] : 0f;
            source += ld;
            target += panel;
        }
    }

    // Panels [k, panel] from source [rows, k].
    private static void TransposePanels(float* source, nint ld, int rows, int k, int panel, float* target)
    {
        for (int i = 0; i < rows; i += panel)
        {
            int count = Math.Min(panel, rows - i);
            if (count < panel) new Span<float>(target, k * panel).Clear();
            int done = panel == 6 && count == panel && Avx.IsSupported ? TransposeSix(source + (i * ld), ld, k, target) : 0;
            Transpose(source + (i * ld) + done, ld, count, k - done, target + ((nint)done * panel), panel);
            target += (nint)k * panel;
        }
    }

    // Six rows, eight columns at a time; how many columns that were. What a register writes behind the six of a column, the next column writes over, so that the last columns are left to others.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static int TransposeSix(float* s, nint ld, int columns, float* t)
    {
        int j = 0;
        for (; j + 8 < columns; j += 8, s += 8, t += 48)
        {
            Turn(Vector256.Load(s), Vector256.Load(s + ld), Vector256.Load(s + (2 * ld)), Vector256.Load(s + (3 * ld)), Vector256.Load(s + (4 * ld)), Vector256.Load(s + (5 * ld)),
                Vector256<float>.Zero, Vector256<float>.Zero, t, 6);
        }
        return j;
    }

    /// <summary>target [columns, rows] (leading dimension ldt) = transpose of source [rows, columns] (leading dimension lds).</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Transpose(float* source, nint lds, int rows, int columns, float* target, nint ldt)
    {
        int i = 0;
        if (Avx.IsSupported)
        {
            for (; i + 8 <= rows; i += 8)
            {
                int j = 0;
                for (; j + 8 <= columns; j += 8) Transpose8x8(source + (i * lds) + j, lds, target + (j * ldt) + i, ldt);
                for (; j < columns; j++)
                {
                    for (int r = 0; r < 8; r++) target[(j * ldt) + i + r] = source[((i + r) * lds) + j];
                }
            }
        }
        for (; i < rows; i++)
        {
            float* s = source + (i * lds);
            float* t = target + i;
            for (int j = 0; j < columns; j++)
            {
                *t = s[j];
                t += ldt;
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Transpose8x8(float* s, nint lds, float* t, nint ldt) =>
        Turn(Vector256.Load(s), Vector256.Load(s + lds), Vector256.Load(s + (2 * lds)), Vector256.Load(s + (3 * lds)),
            Vector256.Load(s + (4 * lds)), Vector256.Load(s + (5 * lds)), Vector256.Load(s + (6 * lds)), Vector256.Load(s + (7 * lds)), t, ldt);

    // Eight registers are rows and become columns, written in their order.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Turn(Vector256<float> r0, Vector256<float> r1, Vector256<float> r2, Vector256<float> r3, Vector256<float> r4, Vector256<float> r5, Vector256<float> r6, Vector256<float> r7, float* t, nint ldt)
    {
        Vector256<float> a0 = Avx.UnpackLow(r0, r1), a1 = Avx.UnpackHigh(r0, r1), a2 = Avx.UnpackLow(r2, r3), a3 = Avx.UnpackHigh(r2, r3);
        Vector256<float> a4 = Avx.UnpackLow(r4, r5), a5 = Avx.UnpackHigh(r4, r5), a6 = Avx.UnpackLow(r6, r7), a7 = Avx.UnpackHigh(r6, r7);
        Vector256<float> b0 = Avx.Shuffle(a0, a2, 0x44), b1 = Avx.Shuffle(a0, a2, 0xEE), b2 = Avx.Shuffle(a1, a3, 0x44), b3 = Avx.Shuffle(a1, a3, 0xEE);
        Vector256<float> b4 = Avx.Shuffle(a4, a6, 0x44), b5 = Avx.Shuffle(a4, a6, 0xEE), b6 = Avx.Shuffle(a5, a7, 0x44), b7 = Avx.Shuffle(a5, a7, 0xEE);
        Avx.Permute2x128(b0, b4, 0x20).Store(t);
        Avx.Permute2x128(b1, b5, 0x20).Store(t + ldt);
        Avx.Permute2x128(b2, b6, 0x20).Store(t + (2 * ldt));
        Avx.Permute2x128(b3, b7, 0x20).Store(t + (3 * ldt));
        Avx.Permute2x128(b0, b4, 0x31).Store(t + (4 * ldt));
        Avx.Permute2x128(b1, b5, 0x31).Store(t + (5 * ldt));
        Avx.Permute2x128(b2, b6, 0x31).Store(t + (6 * ldt));
        Avx.Permute2x128(b3, b7, 0x31).Store(t + (7 * ldt));
    }
}
