namespace Sparseland.Model.Graph;

/// <summary>How new weights are drawn. Same seed, name and shape: same values, on every machine.</summary>
public abstract class Initializer
{
    /// <summary>All zeros.</summary>
    public static Initializer Zeros { get; } = new Fill(0);

    /// <summary>All ones.</summary>
    public static Initializer Ones { get; } = new Fill(1);

    /// <summary>All the same value.</summary>
    public static Initializer Constant(float value) => new Fill(value);

    /// <summary>Normal with mean 0.</summary>
    /// <param name="deviation">Standard deviation, above 0.</param>
    public static Initializer Normal(double deviation) => new Gaussian((_, _) => deviation);

    /// <summary>Uniform in [-limit, limit).</summary>
    public static Initializer Uniform(double limit) => new Even((_, _) => limit);

    /// <summary>Normal with deviation gain / sqrt(fan). He et al., "Delving Deep into Rectifiers", section 2.2.</summary>
    /// <param name="gain">sqrt(2) for ReLU.</param>
    /// <param name="fanOut">True to count outputs (backward variance) instead of inputs.</param>
    public static Initializer KaimingNormal(double gain = 1.4142135623730951, bool fanOut = false) =>
        new Gaussian((i, o) => gain / Math.Sqrt(Math.Max(1, fanOut ? o : i)));

    /// <summary>Uniform with limit gain * sqrt(3 / fan). He et al., section 2.2.</summary>
    /// <param name="gain">sqrt(2) for ReLU; 1 / sqrt(3) gives the limit 1 / sqrt(fan) that linear layers and biases commonly start from.</param>
    /// <param name="fanOut">True to count outputs instead of inputs.</param>
    public static Initializer KaimingUniform(double gain = 1.4142135623730951, bool fanOut = false) =>
        new Even((i, o) => gain * Math.Sqrt(3.0 / Math.Max(1, fanOut ? o : i)));

    /// <summary>Normal with deviation gain * sqrt(2 / (fanIn + fanOut)). Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", eq. 12.</summary>
    public static Initializer XavierNormal(double gain = 1) => new Gaussian((i, o) => gain * Math.Sqrt(2.0 / Math.Max(1, i + o)));

    /// <summary>Uniform with limit gain * sqrt(6 / (fanIn + fanOut)). Glorot and Bengio, eq. 16.</summary>
    public static Initializer XavierUniform(double gain = 1) => new Even((i, o) => gain * Math.Sqrt(6.0 / Math.Max(1, i + o)));

    /// <summary>Draws a tensor.</summary>
    /// <param name="random">Where the numbers come from.</param>
    /// <param name="fanIn">Inputs that one output sums over.</param>
    /// <param name="fanOut">Outputs that one input reaches.</param>
    /// <param name="values">Receives the values.</param>
    protected abstract void Draw(Random random, long fanIn, long fanOut, Span<float> values);

    /// <summary>Draws a tensor of a shape.</summary>
    /// <param name="random">Where the numbers come from.</param>
    /// <param name="shape">
    /// [out, in, window...] as convolutions and linear layers store it: fan-in is in * window, fan-out out * window.
    /// One-dimensional shapes have both equal to their length.
    /// </param>
    public TensorData Create(Random random, params ReadOnlySpan<int> shape)
    {
        ArgumentNullException.ThrowIfNull(random);
        TensorData tensor = TensorData.Zeros(ElementType.Float32, shape);
        long window = 1;
        for (int i = 2; i < shape.Length; i++) window *= shape[i];
        long fanOut = shape.Length == 0 ? 1 : shape[0] * window;
        long fanIn = shape.Length < 2 ? fanOut : shape[1] * window;
        Draw(random, fanIn, fanOut, tensor.Span<float>());
        return tensor;
    }

    /// <summary>A source of randomness of its own for each name, so that adding a weight does not change the others.</summary>
    public static Random RandomFor(int seed, string name)
    {
        uint hash = 2166136261;
        foreach (char c in name) hash = (hash ^ c) * 16777619;
        return new Random((int)((hash ^ (uint)seed * 0x9E3779B9u) & 0x7FFFFFFF));
    }

    private sealed class Fill(float value) : Initializer
    {
        protected override void Draw(Random random, long fanIn, long fanOut, Span<float> values) => values.Fill(value);
    }

    private sealed class Even(Func<long, long, double> limit) : Initializer
    {
        protected override void Draw(Random random, long fanIn, long fanOut, Span<float> values)
        {
            double bound = limit(fanIn, fanOut);
            foreach (ref float v in values) v = (float)((random.NextDouble() * 2 - 1) * bound);
        }
    }

    private sealed class Gaussian(Func<long, long, double> deviation) : Initializer
    {
        protected override void Draw(Random random, long fanIn, long fanOut, Span<float> values)
        {
            double scale = deviation(fanIn, fanOut);
            foreach (ref float v in values) v = (float)(scale * NextNormal(random));
        }
    }

    /// <summary>A standard normal number by the Box-Muller transform.</summary>
    internal static double NextNormal(Random random) =>
        Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());
}
