using Sparseland.Model;
using Sparseland.Model.Graph;

namespace Sparseland.Cli.Measuring;

/// <summary>Makes inputs for a model that nobody gave data for: timings and equivalence checks.</summary>
internal static class ModelInputs
{
    /// <summary>Seeded random inputs of the graph's types.</summary>
    /// <param name="graph">The graph.</param>
    /// <param name="batch">Size of the first unknown dimension of every input.</param>
    /// <param name="sequence">Size of further unknown dimensions (tokens).</param>
    /// <param name="seed">Source of the values: normal for floats, 0 or 1 for masks, small for ids.</param>
    /// <exception cref="GraphException">An input's rank is unknown.</exception>
    public static Dictionary<string, TensorData> Random(ModelGraph graph, int batch, int sequence, int seed)
    {
        var random = new Random(seed);
        var inputs = new Dictionary<string, TensorData>(StringComparer.Ordinal);
        foreach (GraphValue input in graph.Inputs)
        {
            if (input.Type.Shape is null)
                throw new GraphException("SL2008", $"input '{input.Name}' has no known rank") { Try = "give it with --input NAME=FILE" };
            int unknown = 0;
            int[] shape = [.. input.Type.Shape.Select(d => d.IsKnown ? d.Value : unknown++ == 0 ? batch : sequence)];
            inputs[input.Name] = Values(input.Type.ElementType, shape, random);
        }
        return inputs;
    }

    private static TensorData Values(ElementType type, int[] shape, Random random)
    {
        TensorData data = TensorData.Zeros(type, shape);
        switch (type)
        {
            case ElementType.Float32:
                foreach (ref float v in data.Span<float>()) v = (float)Normal(random);
                break;
            case ElementType.Float64:
                foreach (ref double v in data.Span<double>()) v = Normal(random);
                break;
            case ElementType.Float16:
                foreach (ref Half v in data.Span<Half>()) v = (Half)Normal(random);
                break;
            case ElementType.Int64:
                foreach (ref long v in data.Span<long>()) v = random.Next(0, 100);
                break;
            case ElementType.Int32:
                foreach (ref int v in data.Span<int>()) v = random.Next(0, 100);
                break;
            case ElementType.UInt8:
                foreach (ref byte v in data.Span<byte>()) v = (byte)random.Next(0, 256);
                break;
            case ElementType.Bool:
                data.Span<bool>().Fill(true);
                break;
            default:
                throw new GraphException("SL2008", $"no random values for inputs of type {type}") { Try = "give them with --input NAME=FILE" };
        }
        return data;
    }

    private static double Normal(Random random)
    {
        // Box-Muller; the first factor must not be the logarithm of zero.
        double u = 1 - random.NextDouble(), v = random.NextDouble();
        return Math.Sqrt(-2 * Math.Log(u)) * Math.Cos(2 * Math.PI * v);
    }
}
