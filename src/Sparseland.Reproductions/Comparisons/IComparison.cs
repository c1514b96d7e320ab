using System.Globalization;
using Sparseland.Pruning.Recovery;
using Sparseland.Reproductions.Running;

namespace Sparseland.Reproductions.Comparisons;

/// <summary>A table that sets methods side by side: the same network, data, sparsities and budget of training for all of them.</summary>
/// <remarks>
/// A comparison makes no claim and gives no verdict. Network, steps, learning rate and sizes stand in the code before anything is measured and are the same for every row, but for a method whose paper has a recipe of its
/// own; methods keep their defaults where the row does not say otherwise.
/// </remarks>
public interface IComparison
{
    /// <summary>Stable id, as on the command line.</summary>
    string Id { get; }

    /// <summary>What is compared, for people.</summary>
    string Title { get; }

    /// <summary>Network, data and budget, in words.</summary>
    string Setup { get; }

    /// <summary>The sparsities, ascending.</summary>
    IReadOnlyList<double> Sparsities { get; }

    /// <summary>What is compared, in the order of the table; the dense network first.</summary>
    IReadOnlyList<ComparisonRow> Rows { get; }

    /// <summary>Seeds of a budget.</summary>
    int Seeds(Budget budget) => budget switch { Budget.Quick => 1, Budget.Standard => 3, _ => 5 };

    /// <summary>Measures a row at every sparsity for one seed.</summary>
    /// <param name="row">One of <see cref="Rows"/>.</param>
    /// <param name="run">Seed and budget; receives the values, named by <see cref="MethodBench.Name"/>, and as notes what was refused.</param>
    /// <param name="keep">Folder for the compact files, named by <see cref="MethodBench.File"/>; null keeps none.</param>
    /// <exception cref="OperationCanceledException">The caller cancelled.</exception>
    void Run(ComparisonRow row, ReproductionRun run, string? keep = null);
}

/// <summary>A row of a comparison: a method and how it is run.</summary>
/// <param name="Id">Unique within the comparison.</param>
/// <param name="Method">The method's id; null for the dense network.</param>
public sealed record ComparisonRow(string Id, string? Method)
{
    /// <summary>A row that is named as its method.</summary>
    public static ComparisonRow Of(string method, params (string Name, string Value)[] arguments) => new(method, method) { Arguments = arguments };

    /// <summary>The method's parameters that differ from its defaults.</summary>
    public IReadOnlyList<(string Name, string Value)> Arguments { get; init; } = [];

    /// <summary>What is retrained after the cut, as in <see cref="TrainingPlan.Retrain"/>.</summary>
    public string Retrain { get; init; } = "all";

    /// <summary>The optimizer where the method's paper has its own, as in <see cref="TrainingPlan.Optimizer"/>; null takes the table's.</summary>
    public string? Optimizer { get; init; }

    /// <summary>Highest learning rate that goes with <see cref="Optimizer"/>, above 0; null takes the table's.</summary>
    public double? LearningRate { get; init; }

    /// <summary>Share of the steps over which the learning rate rises, 0 to 0.5; null takes the table's.</summary>
    public double? WarmUp { get; init; }

    /// <summary>Weight decay, 0 or above; null takes the table's.</summary>
    public double? WeightDecay { get; init; }

    /// <summary>Whether the row is run in another way than at its method's defaults and with the table's training: a note has to say so.</summary>
    public bool IsSpecial => Arguments.Count > 0 || DenseShare > 0 || PassesPerStep > 1 || CutsUnits || Adapt(new TrainingPlan()) != new TrainingPlan();

    /// <summary>How the row is run, as text: results keep it, so that numbers of another set-up are known as such.</summary>
    public string SetUp => string.Create(CultureInfo.InvariantCulture,
        $"{Method ?? "dense"} {string.Join(" ", Arguments.Select(a => $"{a.Name}={a.Value}"))} retrain={Retrain} optimizer={Optimizer} rate={LearningRate} warm-up={WarmUp} decay={WeightDecay} dense={DenseShare} passes={PassesPerStep} units={CutsUnits}");

    /// <summary>Whether numbers of a set-up are this row's.</summary>
    /// <param name="setUp">A <see cref="SetUp"/>; null is that of files from before it was written down, when no row had an optimizer of its own.</param>
    public bool IsOf(string? setUp) => setUp is null ? this with { Optimizer = null, LearningRate = null, WarmUp = null, WeightDecay = null } == this : setUp == SetUp;

    /// <summary>The table's training with what the row changes of it.</summary>
    public TrainingPlan Adapt(TrainingPlan plan)
    {
        ArgumentNullException.ThrowIfNull(plan);
        return plan with { Retrain = Retrain, Optimizer = Optimizer ?? plan.Optimizer, LearningRate = LearningRate ?? plan.LearningRate, WarmUp = WarmUp ?? plan.WarmUp, WeightDecay = WeightDecay ?? plan.WeightDecay };
    }

    /// <summary>Share of the budget that trains the dense network first, for methods that start from a trained one.</summary>
    public double DenseShare { get; init; }

    /// <summary>Batches whose gradient one step takes; a method that takes two has half the steps.</summary>
    public int PassesPerStep { get; init; } = 1;

    /// <summary>Whether the method removes units, so that the share of the weights that stay is about the square of the share of the units.</summary>
    public bool CutsUnits { get; init; }

    /// <summary>What is special about the row, for a footnote; null when nothing is.</summary>
    public string? Note { get; init; }
}
