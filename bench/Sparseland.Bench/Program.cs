using System.CommandLine;
using Sparseland.Bench;
using Sparseland.Bench.Figures;
using Sparseland.Bench.Turns;
using Sparseland.Cli.Hosting;

Verb[] commands =
[
    new RooflineFigure(),
    new GemmFigure(),
    new SpmmFigure(),
    new ReorderFigure(),
    new ConvolutionFigure(),
    new GemvFigure(),
    new WordsFigure(),
    new DecodeFigure(),
    new NetworksFigure(),
    new InferenceFigure(),
    new TrainStepFigure(),
    new PruningOverheadFigure(),
    new AttentionFigure(),
    new NeverSlowerFigure(),
    new ScalingFigure(),
    new FilesFigure(),
    new TurnsCommand(),
    new MeasureCommand(),
    new PageCommand(),
];
var root = new RootCommand("Prints the figures of Sparseland: each command measures one, beside its peers, in one run.");
foreach (Verb command in commands) root.Subcommands.Add(command.ToCommand());
return await root.Parse(args.Length == 0 ? ["--help"] : args).InvokeAsync();
