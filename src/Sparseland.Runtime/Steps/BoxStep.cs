using Sparseland.Kernels.Dense;
using Sparseland.Model.Graph;
using Sparseland.Runtime.Planning;

namespace Sparseland.Runtime.Steps;

/// <summary>A slice or a pad, or both in one: what a residual block that halves the image adds to its result.</summary>
internal sealed class BoxStep(Node node, IReadOnlyList<Slot?> inputs, Slot output, PaddedBox box) : Step(node, inputs, [output])
{
    private readonly Slot _input = inputs[0]!;

    public override string Kernel => "copy";

    public override bool TakesSpacing(Slot slot) => slot == _input || slot == output;

    public override void Run(RunState state) => box.Copy(state.Read(_input), state.Write(output), _input.PlaneDistance, output.PlaneDistance);

    /// <summary>Makes one step of two where the second alone reads what the first one writes.</summary>
    /// <param name="steps">The steps of a plan, in order; those that are no longer needed are removed.</param>
    /// <param name="outputs">What the plan gives its caller.</param>
    public static void Merge(List<Step> steps, IReadOnlyList<Slot> outputs)
    {
        for (int i = 0; i < steps.Count; i++)
        {
            if (steps[i] is not BoxStep second || steps.Find(s => s.Outputs.Contains(second.Inputs[0])) is not BoxStep first) continue;
            Slot between = first.Outputs[0]!;
            if (outputs.Contains(between) || steps.Any(s => s != second && (s.Inputs.Contains(between) || s is FallbackStep fallback && fallback.Captured.Contains(between))) || second.Box.After(first.Box) is not { } both) continue;
            steps[i] = new BoxStep(second.Node, [first.Inputs[0]], second.Outputs[0]!, both);
            steps.Remove(first);
            i -= 2;
        }
    }

    private PaddedBox Box => box;
}
