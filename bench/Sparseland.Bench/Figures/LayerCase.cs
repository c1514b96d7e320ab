using System.Globalization;
using Sparseland.Kernels.Sparse;
using Sparseland.Model.Graph;

namespace Sparseland.Bench.Figures;

/// <summary>One layer of a network with a pruned weight: a point of shape x density x batch x pattern. Also what the property test of plans draws (linked into it).</summary>
/// <param name="Inputs">Channels of the input, or columns of a linear layer's weight.</param>
/// <param name="Outputs">Channels of the output, or rows of the weight.</param>
/// <param name="Batch">Images, or rows of the input.</param>
/// <param name="Density">Kept fraction, 0 to 1.</param>
/// <param name="Pattern">unstructured, rows, a block such as 8x1, or N:M such as 2:4, which sets the density by itself.</param>
internal sealed record LayerCase(int Inputs, int Outputs, int Batch, double Density, string Pattern = "unstructured")
{
    private static readonly double[] s_densities = [0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 1];
    private static readonly string[] s_patterns = ["unstructured", "unstructured", "unstructured", "4x1", "8x1", "16x1", "1:4", "2:4", "1:8", "rows"];
    private static readonly int[] s_images = [1, 4, 7, 8, 14, 16, 28, 32, 56];
    private static readonly int[] s_widths = [64, 100, 256, 512, 768, 1000, 1024, 2048, 3072, 4096];

    /// <summary>Rows and columns of an image; 0 for a linear layer.</summary>
    public int Image { get; init; }

    /// <summary>Rows and columns of the kernel.</summary>
    public int Kernel { get; init; } = 1;

    /// <summary>Of the convolution.</summary>
    public int Stride { get; init; } = 1;

    /// <summary>Groups of channels.</summary>
    public int Groups { get; init; } = 1;

    /// <summary>Whether the input comes out of a rectifier.</summary>
    public bool Rectified { get; init; }

    /// <summary>Whether something is added to the result.</summary>
    public bool Residual { get; init; }

    /// <summary>Whether the result goes through a rectifier.</summary>
    public bool Activation { get; init; }

    /// <summary>What the weights are held in.</summary>
    public ValueKind Values { get; init; }

    /// <summary>Multiply-adds when dense.</summary>
    public long MultiplyAdds => (long)Batch * Inputs / Groups * Outputs * Kernel * Kernel * (Image == 0 ? 1 : (long)((Image + Stride - 1) / Stride) * ((Image + Stride - 1) / Stride));

    /// <summary>A layer from everything that a plan may meet, with at most so many multiply-adds.</summary>
    public static LayerCase Draw(Random random, long mostMultiplyAdds)
    {
        while (true)
        {
            LayerCase drawn = random.Next(2) == 0 ? Convolution(random) : Linear(random);
            if (drawn.MultiplyAdds <= mostMultiplyAdds && drawn.MultiplyAdds >= 20_000 && drawn.Fits) return drawn;
        }
    }

    /// <summary>The layer alone in a graph with the inputs x and, where something is added, r.</summary>
    public ModelGraph Build()
    {
        var b = new GraphBuilder("layer");
        Value x = Image == 0 ? b.Input("x", ElementType.Float32, Batch, Inputs) : b.Input("x", ElementType.Float32, Batch, Inputs, Image, Image);
        Value y = Rectified ? b.Relu(x) : x;
        y = Image == 0 ? b.Linear(y, "w", Outputs) : b.Conv(y, "w", Outputs, Kernel, Stride, Kernel / 2, groups: Groups);
        if (Residual) y = b.Add(y, b.Input("r", ElementType.Float32, [.. y.Shape!.ToSizes().Select(s => (Dimension)s)]));
        ModelGraph graph = b.Build(Activation ? b.Relu(y) : y);
        Prune(graph.Weights["w.weight"]);
        return graph;
    }

    /// <inheritdoc/>
    public override string ToString()
    {
        string shape = Image == 0 ? $"linear {Inputs} to {Outputs}" : $"{(Groups == 1 ? "" : Groups == Inputs ? "depthwise " : $"{Groups} groups ")}{Kernel}x{Kernel} {Inputs} to {Outputs}, {Image} x {Image}{(Stride > 1 ? $" / {Stride}" : "")}";
        string more = $"{(Rectified ? ", rectified" : "")}{(Residual ? ", residual" : "")}{(Activation ? ", activation" : "")}{(Values == ValueKind.Float32 ? "" : ", " + Values.ShortName())}";
        return string.Create(CultureInfo.InvariantCulture, $"{shape}, batch {Batch}, {Pattern} {Density:0.00}{more}");
    }

    // Blocks do not cross the bounds of groups, and a kept fraction of 1 / M needs M inputs.
    private bool Fits => Inputs % Groups == 0 && Outputs % Groups == 0 && !(Pattern.Contains(':', StringComparison.Ordinal) && Inputs / Groups * Kernel * Kernel % 8 != 0)
        && !(Pattern.Contains('x', StringComparison.Ordinal) && Outputs / Groups % int.Parse(Pattern.Split('x')[0], CultureInfo.InvariantCulture) != 0);

    private static LayerCase Convolution(Random random)
    {
        int inputs = 16 << random.Next(6), outputs = 16 << random.Next(6), groups = Pick(random, [1, 1, 1, 1, 2, 8, 32, 0]);
        if (groups == 0) (groups, outputs) = (inputs, inputs);
        (string pattern, double density) = Sparsity(random);
        return new LayerCase(inputs, outputs, Pick(random, [1, 1, 1, 2, 5, 8, 9, 16]), density, pattern)
        {
            Image = Pick(random, s_images),
            Kernel = Pick(random, [1, 1, 3, 3, 3, 5, 7]),
            Stride = Pick(random, [1, 1, 1, 2]),
            Groups = groups,
            Residual = random.Next(3) == 0,
            Activation = random.Next(2) == 0,
        };
    }

    private static LayerCase Linear(Random random)
    {
        (string pattern, double density) = Sparsity(random);
        int batch = Pick(random, [1, 1, 1, 2, 3, 5, 8, 16, 24, 49, 197]);
        return new LayerCase(Pick(random, s_widths), Pick(random, s_widths), batch, density, pattern)
        {
            Rectified = random.Next(4) == 0,
            Residual = random.Next(3) == 0,
            Activation = random.Next(2) == 0,
            Values = batch == 1 ? Pick(random, [ValueKind.Float32, ValueKind.Float32, ValueKind.Float32, ValueKind.BFloat16, ValueKind.Int8, ValueKind.Int4]) : ValueKind.Float32,
        };
    }

    private static (string Pattern, double Density) Sparsity(Random random)
    {
        string pattern = Pick(random, s_patterns);
        string[] parts = pattern.Split(':');
        return (pattern, parts.Length == 2 ? double.Parse(parts[0], CultureInfo.InvariantCulture) / double.Parse(parts[1], CultureInfo.InvariantCulture) : Pick(random, s_densities));
    }

    private static T Pick<T>(Random random, ReadOnlySpan<T> among) => among[random.Next(among.Length)];

    private void Prune(Weight weight)
    {
        // Without a mask it is a weight as files have it.
        if (Density >= 1) return;
        int rows = weight.Shape[0];
        SparsityPattern kept = Pattern switch
        {
            "unstructured" => SparsityPattern.Unstructured,
            "rows" => SparsityPattern.Row,
            _ when Pattern.Split(':') is [string n, string m] => SparsityPattern.NofM(int.Parse(n, CultureInfo.InvariantCulture), int.Parse(m, CultureInfo.InvariantCulture)),
            _ => SparsityPattern.Block(int.Parse(Pattern.Split('x')[0], CultureInfo.InvariantCulture), 1),
        };
        float[] scores = Array.ConvertAll(weight.Read().ToSingles(), Math.Abs);
        weight.SetMask(PatternProjection.KeepBest(kept, scores, rows, weight.Length / rows, Density).Reshape(weight.Shape));
    }
}
