using Sparseland.Model.Graph;
using Sparseland.Runtime.Planning;

namespace Sparseland.Runtime.Steps;

/// <summary>A step that is one call of a kernel on arena values; what it calls was bound when the plan was made.</summary>
internal sealed class KernelStep(Node node, IReadOnlyList<Slot?> inputs, IReadOnlyList<Slot?> outputs, string kernel, Action<RunState> run, long multiplyAdds = 0, Slot? spaced = null)
    : Step(node, inputs, outputs)
{
    public override string Kernel { get; } = kernel;

    public override long MultiplyAdds { get; } = multiplyAdds;

    public override bool TakesSpacing(Slot slot) => slot == spaced;

    public override void Run(RunState state) => run(state);
}
