using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Threading;

namespace Sparseland.Bench.Figures;

/// <summary>Reads memory and does next to nothing with it: the rate that no product with a vector can exceed.</summary>
internal sealed unsafe class ReadLoop : IDisposable
{
    private const int Parts = 32;
    private readonly byte* _memory;
    private readonly long _length;
    private readonly long[] _found = new long[Parts * 16];

    public ReadLoop(long bytes)
    {
        _length = bytes / (Parts * 256) * (Parts * 256);
        _memory = (byte*)NativeMemory.AlignedAlloc((nuint)_length, 4096);
        LargePages.Ask(new ReadOnlySpan<byte>(_memory, (int)_length));
        // Touched, so that every page is there.
        for (long i = 0; i < _length; i += 64) _memory[i] = (byte)i;
    }

    public long Length => _length;

    public void Run() => WorkPool.For(Parts, part => _found[part * 16] = Read(_memory + (_length / Parts * part), _length / Parts));

    /// <summary>Reads all of it so many times on the calling thread.</summary>
    public long RunAlone(long passes)
    {
        long found = 0;
        for (long pass = 0; pass < passes; pass++) found ^= Read(_memory, _length);
        return found;
    }

    public void Dispose() => NativeMemory.AlignedFree(_memory);

    /// <summary>Four streams: one alone does not keep the memory busy. Compiled fully at once: the first level measured would otherwise be read by unoptimised code (12 instead of 66 GB/s on Zen 1).</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static long Read(byte* p, long length)
    {
        Vector512<long> a = Vector512<long>.Zero, b = a, c = a, d = a;
        long quarter = length / 4;
        for (byte* end = p + quarter; p < end; p += 64)
        {
            a ^= Vector512.Load((long*)p);
            b ^= Vector512.Load((long*)(p + quarter));
            c ^= Vector512.Load((long*)(p + (2 * quarter)));
            d ^= Vector512.Load((long*)(p + (3 * quarter)));
        }
        return Vector512.Sum(a ^ b ^ c ^ d);
    }
}
