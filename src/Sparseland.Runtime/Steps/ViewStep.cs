using Sparseland.Model.Graph;
using Sparseland.Runtime.Planning;

namespace Sparseland.Runtime.Steps;

/// <summary>Reshape, Flatten, Squeeze, Unsqueeze: the same memory under another shape; nothing runs.</summary>
internal sealed class ViewStep : Step
{
    private ViewStep(Node node, Slot?[] inputs, Slot output) : base(node, inputs, [output])
    {
    }

    public override string Kernel => "view";

    public override bool IsView => true;

    public static Step? TryCreate(Node node, StepContext context)
    {
        if (context.FloatShape(node.Outputs[0]) is not { } shape || context.FloatShape(node.Inputs[0]) is null) return null;
        Slot input = context.Find(node.Inputs[0]);
        if (input.Kind != SlotKind.Arena) return null;
        return new ViewStep(node, context.Inputs(node), context.NewView(node.Outputs[0], input, shape));
    }

    public override void Run(RunState state)
    {
    }
}
