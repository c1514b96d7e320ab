using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;
using Sparseland.Kernels.Simd;

namespace Sparseland.Kernels.SparseOps.Compiled;

/// <content>Requests for code and values that other layers have driven out of the near caches.</content>
/// <remarks>
/// Each panel asks for the one behind it, but on the way through code that is far away every panel waits anew. Requests for a whole block of lines in a row, before its first tile, arrive at the rate of the third cache or of memory.
/// That is for units that take 512 bits at once and wait for code. Units of half the width multiply no faster than panels ask for code, and nothing is multiplied while a block arrives, on neither thread where both share pixels. Without
/// such requests (Zen 4, in turn in one process, 32 to 60 rounds, two threads and one) the wide ResNet-20 at 90 % took 0.97 and 0.99 of the time, ResNet-50 at 90 and at 95 % 0.99 and 1.00, MobileNet at 90 % 0.99 and 1.00.
/// </remarks>
internal sealed unsafe partial class CompiledMatrix
{
    private const int LineOfCache = 64;

    // Bytes of code and values: more would drive itself out of the second cache before it is used.
    private const int MostAsked = 768 * 1024;

    private static readonly bool s_asksForBlocks = VectorUnits.AreFullWidth;

    /// <summary>Address of the code that the thread ran last; it may have been freed since.</summary>
    [ThreadStatic]
    private static nint t_last;

    /// <summary>Says that the calling thread multiplies with this matrix now, and whether it multiplied with another sparse one before (dense work is not noticed): a product that is repeated finds its code near.</summary>
    public bool TakeTurn()
    {
        bool far = t_last != _memory.Address;
        t_last = _memory.Address;
        return far;
    }

    /// <summary>Says that the calling thread multiplies with something else than code of one matrix.</summary>
    public static void EndTurn() => t_last = 0;

    /// <summary>Asks for the code (of products that are written with and without bounds, those that run) and the values of pieces first .. end-1, into the second cache, unless they are more than that keeps or units are too slow to wait for them.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void AskFor(int first, int end, float* values, bool hasBounds)
    {
        if (!s_asksForBlocks) return;
        (Piece from, Piece to) = (_pieces[first], _pieces[end]);
        if (to.Runs - from.Runs + (to.Value - from.Value) * sizeof(float) > MostAsked) return;
        byte* code = (byte*)_memory.Address;
        for (int i = first; i < end; i++)
        {
            ref readonly Piece piece = ref _pieces[i];
            int next = _pieces[i + 1].Start;
            Ask(code + piece.Start, code + (hasBounds ? piece.WithoutBounds : piece.WithBounds));
            // The way on to the next panel is in the last line.
            Ask(code + (hasBounds && piece.WithBounds < piece.WithoutBounds ? Math.Max(piece.WithoutBounds, next - LineOfCache) : piece.WithoutBounds), code + next);
        }
        Ask((byte*)(values + from.Value), (byte*)(values + to.Value));

        static void Ask(byte* line, byte* end)
        {
            for (; line < end; line += LineOfCache) Sse.Prefetch1(line);
        }
    }
}
