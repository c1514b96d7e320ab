namespace Sparseland.Training.Autograd;

/// <summary>Records operations and runs them backwards.</summary>
internal static class Tape
{
    /// <summary>Whether an operation on these inputs has to be recorded.</summary>
    public static bool Records(params ReadOnlySpan<Tensor?> inputs)
    {
        if (!GradientMode.IsOn) return false;
        foreach (Tensor? input in inputs)
        {
            if (input is not null && input.RequiresGrad) return true;
        }
        return false;
    }

    /// <summary>Makes <paramref name="output"/> the result of an operation with a gradient.</summary>
    /// <param name="name">The operation, for messages.</param>
    /// <param name="output">The result.</param>
    /// <param name="inputs">The inputs in the order in which the gradient function numbers them.</param>
    /// <param name="saved">The tensors that the gradient function reads; no other tensor may be used in it.</param>
    /// <param name="backward">The gradient function.</param>
    public static Tensor Record(string name, Tensor output, ReadOnlySpan<Tensor?> inputs, ReadOnlySpan<Tensor?> saved, BackwardFunction backward)
    {
        if (!Records(inputs)) return output;
        output.Producer = new GradientNode(name, inputs, [output.ShapeArray], saved, backward);
        return output;
    }

    /// <summary>As <see cref="Record"/> for an operation with several outputs.</summary>
    public static Tensor[] RecordMany(string name, Tensor[] outputs, ReadOnlySpan<Tensor?> inputs, ReadOnlySpan<Tensor?> saved, BackwardFunction backward)
    {
        if (!Records(inputs)) return outputs;
        var node = new GradientNode(name, inputs, Array.ConvertAll(outputs, o => o.ShapeArray), saved, backward);
        for (int i = 0; i < outputs.Length; i++)
        {
            outputs[i].Producer = node;
            outputs[i].ProducerOutput = i;
        }
        return outputs;
    }

    /// <summary>Runs everything that <paramref name="root"/> depends on backwards.</summary>
    public static void Backward(Tensor root, Tensor seed, bool retain)
    {
        if (root.Producer is null)
        {
            if (!root.RequiresGrad) throw new InvalidOperationException("The tensor depends on nothing that wants a gradient.");
            root.ReceiveGradient(seed);
            return;
        }
        List<GradientNode> order = Reachable(root.Producer);
        root.Producer.Receive(root.ProducerOutput, seed);
        // Gradients arrive only from later operations, so this order finds them complete.
        order.Sort(static (a, b) => b.Sequence.CompareTo(a.Sequence));
        foreach (GradientNode node in order) node.Run(retain);
        BufferPool.Shared.Tick();
    }

    private static List<GradientNode> Reachable(GradientNode root)
    {
        var seen = new HashSet<GradientNode> { root };
        var found = new List<GradientNode> { root };
        for (int i = 0; i < found.Count; i++)
        {
            foreach (GradientEdge edge in found[i].Edges)
            {
                if (edge.Node is { } node && seen.Add(node)) found.Add(node);
            }
        }
        return found;
    }
}
