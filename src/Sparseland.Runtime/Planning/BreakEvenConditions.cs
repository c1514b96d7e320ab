using Sparseland.Kernels.Simd;
using Sparseland.Kernels.SparseOps;
using Sparseland.Kernels.Threading;

namespace Sparseland.Runtime.Planning;

/// <summary>What break-even points were measured with; under anything else they are other numbers.</summary>
/// <param name="Processor">The processor's name for itself, with family and model: generations share a name in virtual machines.</param>
/// <param name="Level">The instruction level in use.</param>
/// <param name="Threads">Threads that kernels used.</param>
/// <param name="Compiled">Whether sparse weights were compiled to machine code.</param>
internal sealed record BreakEvenConditions(string Processor, string Level, int Threads, bool Compiled)
{
    /// <summary>Those of this process, as it is set now.</summary>
    public static BreakEvenConditions Current => new(ProcessorIdentity.Current.ToString(), SimdSupport.Level.ToString(), WorkPool.Threads, CompiledKernels.AreUsed);

    /// <inheritdoc/>
    public override string ToString() => $"{Processor}, {Level}, {Threads} {(Threads == 1 ? "thread" : "threads")}{(Compiled ? ", compiled kernels" : "")}";
}
