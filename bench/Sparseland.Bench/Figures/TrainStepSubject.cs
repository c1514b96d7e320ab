using System.Text.Json.Nodes;
using Sparseland.Kernels.Sparse;
using Sparseland.Model.Architectures;
using Sparseland.Pruning.Methods;
using Sparseland.Training;
using Sparseland.Training.Autograd;
using Sparseland.Training.Losses;
using Sparseland.Training.Optimizers;

namespace Sparseland.Bench.Figures;

/// <summary>A network, a batch and an optimizer, with masks of a given sparsity.</summary>
internal sealed class TrainStepSubject
{
    private readonly TrainableModel _model;
    private readonly Sgd _optimizer;
    private readonly Tensor _x;
    private readonly int[] _y;
    private long _exchangeBytes;

    public TrainStepSubject(string architecture, int width, int batch, double sparsity, int seed)
    {
        Architecture family = ArchitectureCatalog.Get(architecture);
        ArchitectureOptions options = family.DefaultOptions().Set("width", width);
        if (architecture == "mlp") options = options.Set("depth", 3);
        _model = new TrainableModel(family.Build(options, seed));
        Sparsity = sparsity;
        Name = sparsity == 0 ? "dense" : $"sparse {sparsity:P0}";
        var random = new Random(seed);
        if (sparsity > 0)
        {
            Parameter[] weights = [.. _model.Parameters.Where(p => p.Kind == ParameterKind.Weight)];
            // The first kernel of a network of pictures and every classifier stay dense: few weights, and by custom.
            foreach (Parameter p in weights.Skip(architecture == "mlp" ? 0 : 1).SkipLast(1)) _model.SetMask(p, RandomMask(p, sparsity, random));
        }
        _optimizer = new Sgd(_model.Parameters, 0.01, momentum: 0.9, weightDecay: 1e-4);
        _model.MaskChanged += _optimizer.OnMaskChanged;
        // The same batch whatever was removed.
        random = new Random(seed);
        _x = architecture == "mlp" ? Tensor.Normal(random, batch, 784) : Tensor.Normal(random, batch, 3, 32, 32);
        _y = [.. Enumerable.Range(0, batch).Select(_ => random.Next(10))];
    }

    public string Name { get; }

    public double Sparsity { get; }

    /// <summary>The batch.</summary>
    public float[] Images => _x.ToArray();

    /// <summary>The batch's classes.</summary>
    public long[] Classes => [.. _y.Select(y => (long)y)];

    private IEnumerable<Parameter> Masked => _model.Parameters.Where(p => p.Mask is not null);

    /// <summary>One step.</summary>
    public void Step()
    {
        _optimizer.ZeroGrad();
        Loss.CrossEntropy(_model.Forward(_x), _y).Backward();
        _optimizer.Step();
    }

    /// <summary>Every weight in the graph's order, removed ones as zeros.</summary>
    public float[] Weights() => [.. _model.Parameters.SelectMany(p => p.Value.ToArray())];

    /// <summary>Compares the loss and the gradients of kept weights, by the kernels that are timed, with those of another engine.</summary>
    /// <param name="expected">The loss and, behind it, the gradient of every weight in the graph's order.</param>
    /// <returns>The loss's relative difference, and the largest difference of a layer's gradient in relation to its size (root of the sum of squares).</returns>
    public (double Loss, double Gradient) Deviation(ReadOnlySpan<float> expected)
    {
        float loss = 0;
        // Code of sparse products is there in the third step.
        for (int i = 0; i < 3; i++)
        {
            _optimizer.ZeroGrad();
            Tensor result = Loss.CrossEntropy(_model.Forward(_x), _y);
            result.Backward();
            loss = result.ToArray()[0];
        }
        double worst = 0;
        int at = 1;
        foreach (Parameter p in _model.Parameters)
        {
            float[] ours = p.Grad!.ToArray();
            ReadOnlySpan<float> theirs = expected.Slice(at, ours.Length);
            double difference = 0, size = 0;
            for (int i = 0; i < ours.Length; i++)
            {
                if (p.Mask is { } mask && !mask[i]) continue;
                difference += Math.Pow(ours[i] - theirs[i], 2);
                size += Math.Pow(theirs[i], 2);
            }
            double share = difference == 0 ? 0 : Math.Sqrt(difference / size);
            worst = double.IsNaN(share) ? double.PositiveInfinity : Math.Max(worst, share);
            at += ours.Length;
        }
        if (at != expected.Length) throw new InvalidOperationException($"the other engine has {expected.Length - 1} gradients and the model {at - 1}");
        return (Math.Abs(loss - expected[0]) / Math.Abs(expected[0]), worst);
    }

    /// <summary>A step of RigL that exchanges 30 % of the connections: dense gradients, new masks, no update (Evci et al. 2020, algorithm 1); and the two steps behind it.</summary>
    public void Exchange()
    {
        foreach (Parameter p in Masked) p.WantsDenseGradient = true;
        _optimizer.ZeroGrad();
        Loss.CrossEntropy(_model.Forward(_x), _y).Backward();
        // The most that lies there at once: every layer's dense gradient, and the sizes of the largest one's, by which connections are chosen.
        _exchangeBytes = Count().Values.Sum() + Masked.Max(p => 4L * p.Value.Length);
        foreach (Parameter p in Masked)
        {
            float[] growth = p.Grad!.ToArray();
            System.Numerics.Tensors.TensorPrimitives.Abs(growth, growth);
            _model.SetMask(p, DynamicSparseTraining.Exchange(p.KeptValues(), p.Mask!, growth, (int)(0.3 * p.Mask!.KeptCount)));
            p.WantsDenseGradient = false;
        }
        // The next steps prepare what the new structure needs, the second one its code; that belongs to the exchange.
        Step();
        Step();
    }

    /// <summary>Mean milliseconds of a step by pass and operation.</summary>
    public IReadOnlyDictionary<(string Pass, string Operation), double> Parts(int steps)
    {
        Step();
        var clock = new StepClock();
        StepClock.Current = clock;
        try
        {
            for (int i = 0; i < steps; i++) Step();
        }
        finally
        {
            StepClock.Current = null;
        }
        return clock.Milliseconds.ToDictionary(p => p.Key, p => p.Value / steps);
    }

    /// <summary>Bytes of weights, gradients, moments and structure after a step, all of them, and all of them while connections were exchanged, where they were.</summary>
    public JsonObject Bytes()
    {
        IReadOnlyDictionary<string, long> parts = Count();
        var json = new JsonObject([.. parts.Select(p => KeyValuePair.Create(p.Key, (JsonNode?)p.Value))]) { ["all"] = parts.Values.Sum() };
        if (_exchangeBytes > 0) json["allInExchange"] = _exchangeBytes;
        return json;
    }

    private OrderedDictionary<string, long> Count()
    {
        long weights = 0, gradients = 0, structure = 0;
        foreach (Parameter p in _model.Parameters)
        {
            weights += p.Value.Storage.IsMade ? 4L * p.Value.Length : 4L * p.Mask!.KeptCount;
            gradients += 4L * (p.Value.StoredGrad?.Values.Length ?? (p.Value.HasGrad ? p.Value.Length : 0));
            structure += p.Sparse.PreparedBytes + (p.Mask?.Length ?? 0) / 8;
        }
        return new OrderedDictionary<string, long> { ["weights"] = weights, ["gradients"] = gradients, ["moments"] = _optimizer.MomentBytes, ["structure"] = structure };
    }

    private static Mask RandomMask(Parameter p, double sparsity, Random random)
    {
        var flags = new bool[p.Value.Length];
        for (int i = 0; i < flags.Length; i++) flags[i] = random.NextDouble() >= sparsity;
        return Mask.FromFlags(p.Value.Shape, flags);
    }
}
