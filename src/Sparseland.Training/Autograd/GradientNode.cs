using Sparseland.Kernels.Sparse;

namespace Sparseland.Training.Autograd;

/// <summary>Computes gradients of inputs from gradients of outputs.</summary>
internal delegate void BackwardFunction(GradientFlow flow);

/// <summary>Where a gradient goes: into a leaf, into an output of an earlier operation, or nowhere.</summary>
internal readonly record struct GradientEdge(GradientNode? Node, int Output, Tensor? Leaf)
{
    public bool Needed => Node is not null || Leaf is not null;
}

/// <summary>One recorded operation: where its inputs came from, what it saved, and its gradient function.</summary>
internal sealed class GradientNode
{
    private static long s_sequence;

    private BackwardFunction? _backward;
    private Tensor[] _saved;
    private SelectedGradient?[]? _selected;

    public GradientNode(string name, ReadOnlySpan<Tensor?> inputs, int[][] outputShapes, ReadOnlySpan<Tensor?> saved, BackwardFunction backward)
    {
        Name = name;
        Sequence = Interlocked.Increment(ref s_sequence);
        Edges = new GradientEdge[inputs.Length];
        for (int i = 0; i < inputs.Length; i++)
        {
            if (inputs[i] is { } input) Edges[i] = input.Edge;
        }
        OutputShapes = outputShapes;
        Pending = new Tensor?[outputShapes.Length];
        var kept = new List<Tensor>(saved.Length);
        foreach (Tensor? tensor in saved)
        {
            if (tensor is null) continue;
            tensor.Storage.Retain();
            kept.Add(tensor);
        }
        _saved = [.. kept];
        _backward = backward;
    }

    public string Name { get; }

    /// <summary>Grows with creation, so descending order visits consumers before producers.</summary>
    public long Sequence { get; }

    public GradientEdge[] Edges { get; }

    public int[][] OutputShapes { get; }

    /// <summary>Gradients that arrived so far, one per output.</summary>
    public Tensor?[] Pending { get; }

    public void Run(bool retain)
    {
        BackwardFunction backward = _backward ?? throw new InvalidOperationException(
            $"Backward ran through '{Name}' already and its saved values are gone; add the losses and call Backward once, or pass retainGraph: true.");
        long start = StepClock.Start();
        for (int i = 0; i < _selected?.Length; i++)
        {
            if (_selected[i] is not { } selected) continue;
            _selected[i] = null;
            Pending[i] = selected.AddTo(null);
        }
        backward(new GradientFlow(this));
        StepClock.Stop(StepClock.InputGradient, Name, start);
        for (int i = 0; i < Pending.Length; i++)
        {
            Pending[i]?.Storage.Release();
            Pending[i] = null;
        }
        if (!retain) Forget();
    }

    /// <summary>Lets go of the saved values.</summary>
    public void Forget()
    {
        _backward = null;
        foreach (Tensor tensor in _saved) tensor.Storage.Release();
        _saved = [];
    }

    /// <summary>Adds a gradient (one holder of it is handed over) to what arrived at an output.</summary>
    public void Receive(int output, Tensor gradient)
    {
        if (_selected?[output] is { } selected)
        {
            _selected[output] = null;
            gradient = selected.AddTo(gradient);
        }
        Tensor? pending = Pending[output];
        Pending[output] = pending is null ? gradient : Sum(pending, gradient);
    }

    /// <summary>Adds a gradient of some values to what arrived at an output, or keeps it until something does.</summary>
    public void Receive(int output, SelectedGradient gradient)
    {
        _selected ??= new SelectedGradient?[Pending.Length];
        if (Pending[output] is { } pending) Pending[output] = gradient.AddTo(pending);
        else if (_selected[output] is { } other)
        {
            _selected[output] = null;
            Pending[output] = gradient.AddTo(other.AddTo(null));
        }
        else _selected[output] = gradient;
    }

    /// <summary>Adds two gradients that are both handed over, in place where possible.</summary>
    internal static Tensor Sum(Tensor a, Tensor b)
    {
        if (!a.Storage.IsUnique && b.Storage.IsUnique) (a, b) = (b, a);
        Tensor target = a.Storage.IsUnique ? a : Tensor.Uninitialized(a.Shape);
        Chunks.Add(a.Array, b.Array, target.Array, a.Length);
        if (!ReferenceEquals(target, a)) a.Storage.Release();
        b.Storage.Release();
        return target;
    }
}

/// <summary>What a gradient function sees.</summary>
internal readonly struct GradientFlow(GradientNode node)
{
    /// <summary>Whether the gradient of input <paramref name="index"/> is wanted.</summary>
    public bool Needs(int index) => index < node.Edges.Length && node.Edges[index].Needed;

    /// <summary>Whether any gradient arrived at output <paramref name="index"/>.</summary>
    public bool Has(int index) => node.Pending[index] is not null;

    /// <summary>The gradient of output <paramref name="index"/>; read only.</summary>
    public Tensor Output(int index = 0) => node.Pending[index] ??= Tensor.Zeros(node.OutputShapes[index]);

    /// <summary>The gradient of output <paramref name="index"/> to be overwritten and then given to an input: the arrived one when nobody else holds it, else a copy.</summary>
    public Tensor Take(int index = 0)
    {
        Tensor gradient = Output(index);
        if (gradient.Storage.IsUnique)
        {
            node.Pending[index] = null;
            return gradient;
        }
        return gradient.Clone();
    }

    /// <summary>A second holder of the gradient of output <paramref name="index"/>, perhaps under another shape; read only.</summary>
    public Tensor Share(ReadOnlySpan<int> shape, int index = 0)
    {
        Tensor gradient = Output(index);
        gradient.Storage.Retain();
        return new Tensor(gradient.Storage, shape.ToArray());
    }

    /// <summary>As <see cref="Give"/> for a gradient that only the kept entries of a leaf have, in the mask's order.</summary>
    public void GiveStored(int index, float[] values, Mask mask) => node.Edges[index].Leaf!.ReceiveStoredGradient(values, mask);

    /// <summary>As <see cref="Give"/> for a gradient of some of an input's values.</summary>
    public void GiveSelected(int index, SelectedGradient gradient)
    {
        GradientEdge edge = index < node.Edges.Length ? node.Edges[index] : default;
        if (edge.Leaf is { } leaf) leaf.ReceiveGradient(gradient.AddTo(null));
        else if (edge.Node is { } producer) producer.Receive(edge.Output, gradient);
        else gradient.Drop();
    }

    /// <summary>Hands the gradient of input <paramref name="index"/> over; ignored when it is not wanted.</summary>
    public void Give(int index, Tensor gradient)
    {
        GradientEdge edge = index < node.Edges.Length ? node.Edges[index] : default;
        if (edge.Leaf is { } leaf) leaf.ReceiveGradient(gradient);
        else if (edge.Node is { } producer) producer.Receive(edge.Output, gradient);
        else gradient.Storage.Release();
    }
}
