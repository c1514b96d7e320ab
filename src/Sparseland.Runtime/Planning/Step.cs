using Sparseland.Model.Graph;

namespace Sparseland.Runtime.Planning;

/// <summary>One thing that a plan does.</summary>
internal abstract class Step(Node node, IReadOnlyList<Slot?> inputs, IReadOnlyList<Slot?> outputs)
{
    /// <summary>The graph node behind the step.</summary>
    public Node Node { get; } = node;

    /// <summary>Inputs; null where one is left out.</summary>
    public IReadOnlyList<Slot?> Inputs { get; } = inputs;

    /// <summary>Outputs; null where one is left out.</summary>
    public IReadOnlyList<Slot?> Outputs { get; } = outputs;

    /// <summary>The kernel, as the plan prints it.</summary>
    public abstract string Kernel { get; }

    /// <summary>Why this kernel; empty when there was no choice.</summary>
    public virtual string Reason => "";

    /// <summary>Kept fraction of the step's weight; 1 for steps without one.</summary>
    public virtual double Density => 1;

    /// <summary>Multiply-adds of the dense computation; 0 when they do not count.</summary>
    public virtual long MultiplyAdds => 0;

    /// <summary>Whether the kernel's cost follows the density.</summary>
    public virtual bool SkipsZeros => false;

    /// <summary>The prepared weight, which other steps and plans may share; null for steps without one.</summary>
    public virtual object? Weight => null;

    /// <summary>Bytes of the prepared weight so far.</summary>
    public virtual long WeightBytes => 0;

    /// <summary>Bytes of the weight as dense singles.</summary>
    public virtual long DenseWeightBytes => 0;

    /// <summary>Whether the step only gives memory another shape.</summary>
    public virtual bool IsView => false;

    /// <summary>Whether planes of a slot that the step reads or writes may lie apart (<see cref="Slot.PlaneDistance"/>).</summary>
    public virtual bool TakesSpacing(Slot slot) => false;

    /// <summary>Whether a slot that the step reads or writes may lie in halves (<see cref="Slot.InHalves"/>), and had better.</summary>
    public virtual bool TakesHalves(Slot slot) => false;

    /// <summary>An input whose planes must lie as those of the output; null for none.</summary>
    public virtual Slot? SpacedAsOutput => null;

    /// <summary>Computes the outputs.</summary>
    public abstract void Run(RunState state);
}
