using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;
using System.Text;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.SparseOps;
using Sparseland.Kernels.Threading;

namespace Sparseland.Runtime.Planning;

/// <summary>What break-even points were measured with; under anything else they are other numbers.</summary>
/// <param name="Processor">The processor's name for itself.</param>
/// <param name="Level">The instruction level in use.</param>
/// <param name="Threads">Threads that kernels used.</param>
/// <param name="Compiled">Whether sparse weights were compiled to machine code.</param>
internal sealed record BreakEvenConditions(string Processor, string Level, int Threads, bool Compiled)
{
    /// <summary>Those of this process, as it is set now.</summary>
    public static BreakEvenConditions Current => new(Name(), SimdSupport.Level.ToString(), WorkPool.Threads, CompiledKernels.AreUsed);

    /// <inheritdoc/>
    public override string ToString() => $"{Processor}, {Level}, {Threads} {(Threads == 1 ? "thread" : "threads")}{(Compiled ? ", compiled kernels" : "")}";

    // CPUID leaves 80000002h to 80000004h: AMD, "Architecture Programmer's Manual", volume 3, appendix E; Intel, "Software Developer's Manual", volume 2, CPUID.
    private static string Name()
    {
        const int Most = unchecked((int)0x80000000), First = unchecked((int)0x80000002), Last = unchecked((int)0x80000004);
        if (!X86Base.IsSupported || (uint)X86Base.CpuId(Most, 0).Eax < unchecked((uint)Last)) return RuntimeInformation.ProcessArchitecture.ToString();
        var name = new StringBuilder();
        for (int leaf = First; leaf <= Last; leaf++)
        {
            (int a, int b, int c, int d) = X86Base.CpuId(leaf, 0);
            foreach (int four in (ReadOnlySpan<int>)[a, b, c, d])
            {
                for (int shift = 0; shift < 32; shift += 8)
                {
                    if ((four >> shift & 0xFF) is > 0 and < 0x80 and int letter) name.Append((char)letter);
                }
            }
        }
        return name.ToString().Trim();
    }
}
