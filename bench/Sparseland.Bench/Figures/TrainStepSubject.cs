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
        _x = architecture == "mlp" ? Tensor.Normal(random, batch, 784) : Tensor.Normal(random, batch, 3, 32, 32);
        _y = [.. Enumerable.Range(0, batch).Select(_ => random.Next(10))];
    }

    public string Name { get; }

    public double Sparsity { get; }

    private IEnumerable<Parameter> Masked => _model.Parameters.Where(p => p.Mask is not null);

    /// <summary>One step.</summary>
    public void Step()
    {
        _optimizer.ZeroGrad();
        Loss.CrossEntropy(_model.Forward(_x), _y).Backward();
        _optimizer.Step();
    }

    /// <summary>A step of RigL that exchanges 30 % of the connections: dense gradients, new masks, no update (Evci et al. 2020, algorithm 1); and the two steps behind it.</summary>
    public void Exchange()
    {
        foreach (Parameter p in Masked) p.WantsDenseGradient = true;
        _optimizer.ZeroGrad();
        Loss.CrossEntropy(_model.Forward(_x), _y).Backward();
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

    /// <summary>Bytes of weights, gradients and moments after a step.</summary>
    public JsonObject Bytes()
    {
        long weights = 0, gradients = 0, structure = 0;
        foreach (Parameter p in _model.Parameters)
        {
            weights += p.Value.Storage.IsMade ? 4L * p.Value.Length : 4L * p.Mask!.KeptCount;
            gradients += 4L * (p.Value.StoredGrad?.Values.Length ?? (p.Value.HasGrad ? p.Value.Length : 0));
            structure += p.Sparse.PreparedBytes + (p.Mask?.Length ?? 0) / 8;
        }
        long moments = _optimizer.MomentBytes;
        return new JsonObject { ["weights"] = weights, ["gradients"] = gradients, ["moments"] = moments, ["structure"] = structure, ["all"] = weights + gradients + moments + structure };
    }

    private static Mask RandomMask(Parameter p, double sparsity, Random random)
    {
        var flags = new bool[p.Value.Length];
        for (int i = 0; i < flags.Length; i++) flags[i] = random.NextDouble() >= sparsity;
        return Mask.FromFlags(p.Value.Shape, flags);
    }
}
